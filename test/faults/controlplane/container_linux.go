package controlplane

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The kubelet's back-off between runs of a container, and between pulls of an image
// (k8s.io/kubernetes/pkg/kubelet/kubelet.go, MaxCrashLoopBackOff and backOffPeriod).
const (
	backOff     = 10 * time.Second
	backOffMost = 5 * time.Minute
)

// container is what a kubelet knows of a container.
type container struct {
	started, ended, next time.Time
	running, done, ready bool
	program              Program // that it was started with
	restarts             int32
	failures             int // of the liveness probe
	exit                 *corev1.ContainerStateTerminated
	last                 *corev1.ContainerStateTerminated
	waiting              corev1.ContainerStateWaiting
	log, previous        string
}

// containers brings containers one step further. It returns whether all of them have ended well,
// which for init containers means that the pod is initialized.
func (n *Node) containers(p *corev1.Pod, state *pod, specs []corev1.Container, start, init bool) (bool, []corev1.ContainerStatus) {
	done := true
	var statuses []corev1.ContainerStatus
	for i := range specs {
		c := state.containers[specs[i].Name]
		if c == nil {
			c = &container{waiting: corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
			if len(p.Spec.InitContainers) > 0 && !init || i > 0 && init {
				c.waiting.Reason = "PodInitializing"
			}
			n.mu.Lock()
			state.containers[specs[i].Name] = c
			n.mu.Unlock()
		}
		if start && (!init || done) {
			n.step(p, state, &specs[i], c, init)
		}
		done = done && c.done
		statuses = append(statuses, c.status(p, &specs[i]))
	}
	return done, statuses
}

// step starts a container, lets it run, or ends it.
func (n *Node) step(p *corev1.Pod, state *pod, spec *corev1.Container, c *container, init bool) {
	now := time.Now()
	program := n.world.programs.of(p, spec)
	if init && program.Exits == nil {
		program.Exits = new(int32(0))
	}
	if component, ok := n.componentOf(p); ok && !init {
		n.follow(p, state, spec, c, component)
		return
	}
	switch {
	case c.done:
	case !c.running && now.Before(c.next):
		if c.exit != nil && c.waiting.Reason == "CrashLoopBackOff" && state.due("backoff "+spec.Name, 5*time.Second, time.Minute) {
			n.recorder.Eventf(reference(p, spec.Name), corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)", spec.Name, p.Name, p.Namespace, p.UID)
		}
	case !c.running:
		n.startContainer(p, state, spec, c, program)
	case c.program.Exits != nil && now.Sub(c.started) >= c.program.After:
		n.endContainer(p, c, spec, *c.program.Exits, c.program.Reason, c.program.RestartAnyway)
	default:
		n.probe(p, spec, c, program)
	}
}

// componentOf is the process behind a static pod.
func (n *Node) componentOf(p *corev1.Pod) (*process, bool) {
	if p.Annotations[corev1.MirrorPodAnnotationKey] == "" {
		return nil, false
	}
	for name, machine := range n.world.machines {
		if component := n.world.components[name]; machine == n.Name && component.program()+"-"+machine == p.Name {
			return component, true
		}
	}
	return nil, false
}

// follow lets the container of a static pod be what its process is.
func (n *Node) follow(p *corev1.Pod, state *pod, spec *corev1.Container, c *container, component *process) {
	switch alive := component.running(); {
	case c.running && !alive:
		n.endContainer(p, c, spec, 1, "", true)
	case !c.running && alive:
		n.startContainer(p, state, spec, c, Program{})
	case c.running:
		c.ready = time.Since(c.started) >= time.Second
	}
}

func (n *Node) startContainer(p *corev1.Pod, state *pod, spec *corev1.Container, c *container, program Program) {
	ref, now := reference(p, spec.Name), time.Now()
	if said := n.pull(spec.Image); said != "" {
		if !state.due("pull "+spec.Name, backOff, backOffMost) {
			c.waiting = corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", spec.Image, said)}
			if state.due("pull-backoff "+spec.Name, backOff, time.Minute) {
				n.recorder.Eventf(ref, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", spec.Image)
				n.recorder.Event(ref, corev1.EventTypeWarning, "Failed", "Error: ImagePullBackOff")
			}
			return
		}
		c.waiting = corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: said}
		n.recorder.Eventf(ref, corev1.EventTypeNormal, "Pulling", "Pulling image %q", spec.Image)
		n.recorder.Eventf(ref, corev1.EventTypeWarning, "Failed", "Failed to pull image %q: %s", spec.Image, said)
		n.recorder.Event(ref, corev1.EventTypeWarning, "Failed", "Error: ErrImagePull")
		return
	}
	if said := n.missingKey(p.Namespace, spec); said != "" {
		c.waiting = corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: said}
		if state.due("config "+spec.Name, backOff, time.Minute) {
			n.recorder.Event(ref, corev1.EventTypeWarning, "Failed", "Error: "+said)
		}
		return
	}
	if c.exit == nil || c.restarts < 2 {
		n.recorder.Eventf(ref, corev1.EventTypeNormal, "Pulled", "Container image %q already present on machine and can be accessed by the pod", spec.Image)
		n.recorder.Event(ref, corev1.EventTypeNormal, "Created", "Container created")
		n.recorder.Event(ref, corev1.EventTypeNormal, "Started", "Container started")
	}
	if c.exit != nil {
		c.last, c.restarts = c.exit, c.restarts+1
	}
	n.mu.Lock()
	c.previous, c.log = c.log, stamp(now, program.Log)
	n.mu.Unlock()
	c.running, c.ready, c.started, c.exit, c.failures, c.program = true, false, now, nil, 0, program
}

// stamp gives lines of a log the time at which they were written.
func stamp(now time.Time, log string) string {
	if log == "" {
		log = "listening"
	}
	var out strings.Builder
	for line := range strings.Lines(log) {
		fmt.Fprintf(&out, "%s %s\n", now.UTC().Format("2006/01/02 15:04:05"), strings.TrimSpace(line))
	}
	return out.String()
}

func (n *Node) endContainer(p *corev1.Pod, c *container, spec *corev1.Container, code int32, reason string, again bool) {
	now := time.Now()
	if reason == "" {
		reason = "Error"
		if code == 0 {
			reason = "Completed"
		}
	}
	c.running, c.ready, c.ended = false, false, now
	c.exit = &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, StartedAt: metav1.NewTime(c.started), FinishedAt: metav1.NewTime(now),
		ContainerID: containerID(p, spec, c.restarts),
	}
	always := p.Spec.RestartPolicy == corev1.RestartPolicyAlways || p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && code != 0
	isInit := slices.ContainsFunc(p.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == spec.Name })
	if code == 0 && isInit || !always && !again {
		c.done = true
		return
	}
	if c.restarts == 0 {
		return // the first time it is started again at once
	}
	wait := min(backOff<<min(c.restarts-1, 5), backOffMost)
	c.next = now.Add(wait)
	c.waiting = corev1.ContainerStateWaiting{
		Reason:  "CrashLoopBackOff",
		Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", wait, spec.Name, p.Name, p.Namespace, p.UID),
	}
}

// probe asks a running container whether it is ready, and whether it lives.
func (n *Node) probe(p *corev1.Pod, spec *corev1.Container, c *container, program Program) {
	now := time.Now()
	ref, ip := reference(p, spec.Name), p.Status.PodIP
	if probe := spec.LivenessProbe; probe != nil {
		url, answers := probeURL(probe, spec, ip)
		period := time.Duration(max(probe.PeriodSeconds, 1)) * time.Second
		due := c.started.Add(time.Duration(probe.InitialDelaySeconds)*time.Second + time.Duration(c.failures+1)*period)
		if !answers && now.After(due) {
			c.failures++
			n.recorder.Eventf(ref, corev1.EventTypeWarning, "Unhealthy", "Liveness probe failed: Get %q: dial tcp %s: connect: connection refused", url, hostOf(url))
			if c.failures >= int(max(probe.FailureThreshold, 1)) {
				n.recorder.Eventf(ref, corev1.EventTypeNormal, "Killing", "Container %s failed liveness probe, will be restarted", spec.Name)
				n.endContainer(p, c, spec, 2, "", true)
				return
			}
		}
	}
	ready := now.Sub(c.started) >= time.Second && !program.NotReady
	if probe := spec.ReadinessProbe; probe != nil {
		url, answers := probeURL(probe, spec, ip)
		period := time.Duration(max(probe.PeriodSeconds, 1)) * time.Second
		if (!answers || program.NotReady) && now.Sub(c.started) > period && n.state(p).due("unready "+spec.Name, period, period) {
			said := fmt.Sprintf("Get %q: dial tcp %s: connect: connection refused", url, hostOf(url))
			if answers {
				said = "HTTP probe failed with statuscode: 503"
			}
			n.recorder.Event(ref, corev1.EventTypeWarning, "Unhealthy", "Readiness probe failed: "+said)
		}
		ready = ready && answers
	}
	c.ready = ready
}

// probeURL is what an HTTP probe gets, and whether the container listens there: it listens on the
// ports that it declares.
func probeURL(probe *corev1.Probe, spec *corev1.Container, ip string) (string, bool) {
	get := probe.HTTPGet
	if get == nil {
		return "", true
	}
	port := get.Port.IntVal
	for _, declared := range spec.Ports {
		if get.Port.Type == intstr.String && declared.Name == get.Port.StrVal || declared.ContainerPort == port {
			return "http://" + net.JoinHostPort(ip, strconv.Itoa(int(declared.ContainerPort))) + get.Path, true
		}
	}
	return "http://" + net.JoinHostPort(ip, strconv.Itoa(int(port))) + get.Path, len(spec.Ports) == 0
}

func hostOf(url string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	return host
}

// pull says why an image cannot be pulled; empty when it is there.
func (n *Node) pull(image string) string {
	if n.world.programs.hasImage(image) && !n.has(ResolverBroken) {
		return ""
	}
	prefix := fmt.Sprintf("failed to pull and unpack image %q: failed to resolve reference %q: ", image, image)
	host, path, _ := strings.Cut(image, "/")
	path, tag, _ := strings.Cut(path, ":")
	if n.has(ResolverBroken) {
		if n.world.programs.isCached(image) {
			return ""
		}
		name, _, _ := strings.Cut(host, ":")
		return prefix + fmt.Sprintf("failed to do request: Head \"https://%s/v2/%s/manifests/%s\": dial tcp: lookup %s on 192.0.2.1:53: read udp %s:41034->192.0.2.1:53: i/o timeout", host, path, tag, name, n.address)
	}
	return "rpc error: code = NotFound desc = " + prefix + image + ": not found"
}

// missingKey says which ConfigMap, Secret or key of them the environment of a container lacks.
func (n *Node) missingKey(namespace string, spec *corev1.Container) string {
	for _, from := range spec.EnvFrom {
		if r := from.ConfigMapRef; r != nil && !isTrue(r.Optional) {
			if _, ok := n.world.keys("configmap", namespace, r.Name); !ok {
				return fmt.Sprintf("configmap %q not found", r.Name)
			}
		}
	}
	for _, env := range spec.Env {
		if env.ValueFrom == nil {
			continue
		}
		var kind, title, name, key string
		switch {
		case env.ValueFrom.ConfigMapKeyRef != nil && !isTrue(env.ValueFrom.ConfigMapKeyRef.Optional):
			kind, title, name, key = "configmap", "ConfigMap", env.ValueFrom.ConfigMapKeyRef.Name, env.ValueFrom.ConfigMapKeyRef.Key
		case env.ValueFrom.SecretKeyRef != nil && !isTrue(env.ValueFrom.SecretKeyRef.Optional):
			kind, title, name, key = "secret", "Secret", env.ValueFrom.SecretKeyRef.Name, env.ValueFrom.SecretKeyRef.Key
		default:
			continue
		}
		keys, ok := n.world.keys(kind, namespace, name)
		if !ok {
			return fmt.Sprintf("%s %q not found", kind, name)
		}
		if !slices.Contains(keys, key) {
			return fmt.Sprintf("couldn't find key %s in %s %s/%s", key, title, namespace, name)
		}
	}
	return ""
}

func containerID(p *corev1.Pod, spec *corev1.Container, run int32) string {
	return fmt.Sprintf("containerd://%s-%s-%d", p.UID, spec.Name, run)
}

func (c *container) status(p *corev1.Pod, spec *corev1.Container) corev1.ContainerStatus {
	s := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, RestartCount: c.restarts, Ready: c.ready, Started: new(c.running)}
	if !c.started.IsZero() {
		s.ImageID, s.ContainerID = spec.Image+"@sha256:"+strings.Repeat("0", 64), containerID(p, spec, c.restarts)
	}
	if c.last != nil {
		s.LastTerminationState.Terminated = wholeSeconds(c.last)
	}
	switch {
	case c.running:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.started.Truncate(time.Second))}
	case c.done, c.exit != nil && c.waiting.Reason != "CrashLoopBackOff":
		s.State.Terminated = wholeSeconds(c.exit)
		s.Ready = c.done && c.exit.ExitCode == 0 && slices.ContainsFunc(p.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == spec.Name })
	default:
		s.State.Waiting = new(c.waiting)
		if c.exit != nil {
			s.LastTerminationState.Terminated = wholeSeconds(c.exit)
		}
	}
	return s
}

// wholeSeconds cuts times to what the API keeps of them.
func wholeSeconds(t *corev1.ContainerStateTerminated) *corev1.ContainerStateTerminated {
	out := t.DeepCopy()
	out.StartedAt, out.FinishedAt = metav1.NewTime(t.StartedAt.Truncate(time.Second)), metav1.NewTime(t.FinishedAt.Truncate(time.Second))
	return out
}

var exitCommand = regexp.MustCompile(`\bexit (\d+)`)

// enoughMemory is what every program of the application needs; with less it is killed.
var enoughMemory = resource.MustParse("8Mi")

// natural is what a container does by its own specification.
func natural(p *corev1.Pod, spec *corev1.Container) Program {
	out := Program{Log: spec.Name + " listening"}
	if limit := spec.Resources.Limits.Memory(); !limit.IsZero() && limit.Cmp(enoughMemory) < 0 {
		out.Exits, out.Reason, out.RestartAnyway = new(int32(137)), "OOMKilled", true
		return out
	}
	if m := exitCommand.FindStringSubmatch(strings.Join(append(spec.Command, spec.Args...), " ")); m != nil {
		if code, err := strconv.ParseInt(m[1], 10, 32); err == nil {
			out.Exits = new(int32(code))
			out.Log = "stopping"
		}
		return out
	}
	if slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Job" }) {
		out.Exits, out.After, out.Log = new(int32(0)), 2*time.Second, "done"
	}
	return out
}

package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

// describer makes a document of evidence. It reads nothing.
type describer struct {
	evidence *evidence
	// container is the only one to tell of; "" for all.
	container string
	// answers are nil where nothing was asked on request.
	answers map[key][]asked
	// rows of failures that were watched; nil where nobody watched.
	rows     map[key]run
	now      time.Time
	language finding.Language
	location *time.Location
}

// document of the evidence.
func (d *describer) document() document {
	out := document{
		TypeMeta: metav1.TypeMeta{APIVersion: "maek.dev/v1alpha1", Kind: "Probes"},
		Target:   d.evidence.target.String(), ObservedAt: metav1.NewTime(d.now), MorePods: d.evidence.more, Verdict: passing,
	}
	for _, pod := range d.evidence.pods {
		p := d.pod(pod)
		for _, c := range p.Containers {
			for _, one := range c.Probes {
				out.Verdict = worse(out.Verdict, one.Verdict)
			}
		}
		out.Pods = append(out.Pods, p)
		out.loops = out.loops || slices.ContainsFunc(d.evidence.probesOfPod(pod, d.container), func(o one) bool { return !d.loops(o).IsZero() })
	}
	if len(out.Pods) == 0 {
		out.Verdict = unknown
	}
	out.Missing = d.texts(d.evidence.missing)
	return out
}

func (d *describer) texts(in []finding.Text) []string {
	var out []string
	for _, t := range slicesOf(in) {
		out = append(out, t.In(d.language))
	}
	return out
}

func (d *describer) pod(pod *corev1.Pod) podReport {
	out := podReport{
		Namespace: pod.Namespace, Name: pod.Name, Node: pod.Spec.NodeName, IP: pod.Status.PodIP,
		Phase: string(pod.Status.Phase), Ready: snapshot.PodReady(pod), Notes: d.texts(d.notes(pod)), Gates: d.gates(pod),
	}
	for _, c := range containersOf(pod) {
		if d.container == "" || d.container == c.spec.Name {
			out.Containers = append(out.Containers, d.containerReport(pod, c))
		}
	}
	return out
}

// place is a container that may have probes.
type place struct {
	spec    *corev1.Container
	sidecar bool
}

// containersOf a pod that may have probes: the sidecars and the regular ones.
func containersOf(pod *corev1.Pod) []place {
	var out []place
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, place{c, true})
		}
	}
	for i := range pod.Spec.Containers {
		out = append(out, place{&pod.Spec.Containers[i], false})
	}
	return out
}

// probesOf all pods that are looked at.
func (e *evidence) probes(container string) []one {
	var out []one
	for _, pod := range e.pods {
		out = append(out, e.probesOfPod(pod, container)...)
	}
	return out
}

// probesOfPod are those of its containers, or of the one that is named.
func (e *evidence) probesOfPod(pod *corev1.Pod, container string) []one {
	var out []one
	for _, c := range containersOf(pod) {
		if container == "" || container == c.spec.Name {
			out = append(out, e.probesOf(pod, c)...)
		}
	}
	return out
}

func (e *evidence) probesOf(pod *corev1.Pod, c place) []one {
	var out []one
	for _, kind := range probe.Kinds() {
		if spec := kind.Of(c.spec); spec != nil {
			out = append(out, one{pod, c.spec, c.sidecar, kind, spec, kubeletVersion(e.nodes[pod.Spec.NodeName])})
		}
	}
	return out
}

// kubeletVersion is a kubelet's as it tells it to servers, such as 1.36; "" where it is not known.
func kubeletVersion(node *corev1.Node) string {
	if node == nil {
		return ""
	}
	parts := strings.SplitN(strings.TrimPrefix(node.Status.NodeInfo.KubeletVersion, "v"), ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[0] + "." + parts[1]
}

// nodeLost tells whether what a pod's kubelet said is old.
func (e *evidence) nodeLost(pod *corev1.Pod) bool {
	node, read := e.nodes[pod.Spec.NodeName]
	return read && (node == nil || lost(node))
}

// silent says why a probe cannot be asked; empty where it can.
func (e *evidence) silent(o one) finding.Text {
	pod, status := o.pod, o.status()
	switch {
	case e.nodeLost(pod):
		return finding.Textf("the node does not report", "노드의 보고가 끊겼습니다")
	case snapshot.PodDone(pod):
		return finding.Textf("the pod has ended", "Pod가 종료되었습니다")
	case pod.Spec.NodeName == "":
		return finding.Textf("the pod has no node", "Pod에 배정된 노드가 없습니다")
	case status == nil || status.State.Running == nil:
		return finding.Textf("the container does not run", "컨테이너가 실행 중이 아닙니다")
	case pod.Status.PodIP == "":
		return finding.Textf("the pod has no address yet", "Pod에 아직 주소가 없습니다")
	default:
		return finding.Text{}
	}
}

// notes are what keeps probes of a pod from being asked, or from counting.
func (d *describer) notes(pod *corev1.Pod) []finding.Text {
	var out []finding.Text
	if pod.Spec.NodeName == "" {
		text := finding.Textf("no node: nothing is asked before it has one", "배정된 노드가 없어 아무것도 확인하지 않습니다")
		if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
			text = finding.Join(": ", text, finding.Verbatim(quoted(c.Message)))
		}
		out = append(out, text)
	}
	node, read := d.evidence.nodes[pod.Spec.NodeName]
	switch {
	case read && node == nil:
		out = append(out, finding.Textf("node %s does not exist: what its kubelet said is old", "노드 %s가 없으므로 kubelet이 남긴 상태는 예전 것입니다", pod.Spec.NodeName))
	case node != nil && lost(node):
		c := snapshot.NodeCondition(node, corev1.NodeReady)
		out = append(out, finding.Format("node %s does not report since %s: what its kubelet said is old",
			"노드 %s의 보고가 %s부터 끊겨, kubelet이 남긴 상태는 예전 것입니다", finding.Verbatim(node.Name), d.clock(c.LastTransitionTime.Time)))
	}
	if pod.DeletionTimestamp != nil {
		out = append(out, finding.Format("being deleted since %s: liveness and startup probes are not asked any more, readiness still is",
			"%s부터 삭제 중입니다. liveness·startup probe는 더 이상 확인하지 않고 readiness probe만 확인합니다",
			d.clock(pod.DeletionTimestamp.Add(-grace(pod)))))
	}
	if snapshot.PodDone(pod) {
		out = append(out, finding.Textf("ended (%s): nothing is asked", "종료(%s)되어 아무것도 확인하지 않습니다", string(pod.Status.Phase)))
	}
	return out
}

// grace is the time that a pod which is being deleted was given to end; its deletion timestamp is the end of that.
func grace(pod *corev1.Pod) time.Duration {
	if pod.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
}

// missingGate is the status of a condition that nobody has set.
const missingGate = "Missing"

func (d *describer) gates(pod *corev1.Pod) []gate {
	var out []gate
	for _, g := range pod.Spec.ReadinessGates {
		one := gate{Condition: string(g.ConditionType)}
		if c := snapshot.PodCondition(pod, g.ConditionType); c != nil {
			one.Status, one.Message = string(c.Status), said(c.Message)
		} else {
			one.Status = missingGate
			one.Message = finding.Textf("nobody has set it, so that the pod cannot be ready, whatever its probes say",
				"아무도 설정하지 않아 probe 결과와 관계없이 Pod가 Ready가 될 수 없습니다").In(d.language)
		}
		out = append(out, one)
	}
	return out
}

// clock tells a time of day, with its date where that is not today's.
func (d *describer) clock(t time.Time) finding.Text {
	if t.IsZero() {
		return finding.Textf("an unknown time", "알 수 없는 시각")
	}
	t, now := t.In(d.location), d.now.In(d.location)
	if t.Format(time.DateOnly) != now.Format(time.DateOnly) {
		return finding.Verbatim(t.Format("2006-01-02 15:04:05"))
	}
	return finding.Verbatim(t.Format(time.TimeOnly))
}

// ago tells a time of day and how long ago that is.
func (d *describer) ago(t time.Time) finding.Text {
	return finding.Format("%s (%s ago)", "%s(%s 전)", d.clock(t), age(d.now.Sub(t)))
}

// age is how long something has lasted.
func age(span time.Duration) finding.Text {
	span = max(span, 0)
	switch {
	case span < 2*time.Minute:
		return finding.Textf("%d s", "%d초", int(span/time.Second))
	case span < 2*time.Hour:
		return finding.Textf("%d min", "%d분", int(span/time.Minute))
	case span < 48*time.Hour:
		return finding.Textf("%d h", "%d시간", int(span/time.Hour))
	default:
		return finding.Textf("%d days", "%d일", int(span/(24*time.Hour)))
	}
}

// eventsRead and servicesRead tell whether their absence means anything.
func (d *describer) eventsRead() bool   { return !d.evidence.lacks(eventsMissing) }
func (d *describer) servicesRead() bool { return !d.evidence.lacks(slicesMissing) }

func (e *evidence) lacks(what string) bool {
	for _, t := range e.missing {
		if strings.HasPrefix(t.EN, what) {
			return true
		}
	}
	return false
}

// millis writes a latency.
func millis(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// sentence joins what is said of one thing.
func sentence(parts ...finding.Text) finding.Text {
	var en, ko []string
	for _, p := range slicesOf(parts) {
		en, ko = append(en, p.EN), append(ko, p.KO)
	}
	return finding.Text{EN: strings.Join(en, "; "), KO: strings.Join(ko, ". ")}
}

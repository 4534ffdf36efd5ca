package kubelet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	ours "github.com/maek-dev/maek/internal/probe"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A scenario is the life of a pod with one container that has probes: what its commands answer when,
// and what the kubelet hears of it. Both workers live through it. No two things happen at the same
// moment: there the kubelet itself leaves the order to chance.
type scenario struct {
	pod *corev1.Pod
	// begin is when the kubelet meets it.
	begin   time.Time
	answers map[ours.Kind][]answer
	steps   []step
}

// answer is how a command behaves until a moment.
type answer struct {
	until   time.Duration
	takes   time.Duration
	verdict ours.Verdict
}

// step is something that happens to the pod, and makes the kubelet work out its status.
type step struct {
	at     time.Duration
	status corev1.PodStatus
	// deleted, stopped: the pod is to be deleted; its liveness and startup workers are to stop.
	deleted, stopped bool
}

// answerAt is how a command behaves so long after the begin.
func (s *scenario) answerAt(kind ours.Kind, at time.Duration) answer {
	all := s.answers[kind]
	i := slices.IndexFunc(all, func(a answer) bool { return at < a.until })
	return all[i]
}

// container is the one that is probed, which is a sidecar in some scenarios.
func (s *scenario) container() *corev1.Container {
	if len(s.pod.Spec.InitContainers) > 0 {
		return &s.pod.Spec.InitContainers[0]
	}
	return &s.pod.Spec.Containers[0]
}

const (
	// kubeletUp is how long the kubelet runs before it meets the pod.
	kubeletUp = time.Hour
	// length is how long a scenario is watched, which is no moment of a tick.
	length = 3*time.Minute + 123456*time.Microsecond
)

// randomScenario makes one up. begin is the moment at which the kubelet meets the pod.
func randomScenario(seed uint64, begin time.Time) *scenario {
	lots := rand.New(rand.NewPCG(seed, 5))
	s := &scenario{begin: begin, answers: map[ours.Kind][]answer{}}
	probed := corev1.Container{Name: "main"}
	stopping := lots.IntN(4) == 0
	for _, kind := range ours.Kinds() {
		if lots.IntN(4) == 0 {
			continue
		}
		spec := randomProbe(lots, kind)
		switch kind {
		case ours.Liveness:
			probed.LivenessProbe = spec
		case ours.Readiness:
			probed.ReadinessProbe = spec
		case ours.Startup:
			probed.StartupProbe = spec
		}
		// Where a tick and another reason may wait for the end of an attempt, either may come first.
		slow := kind != ours.Readiness && !stopping
		s.answers[kind] = randomAnswers(lots, time.Duration(spec.PeriodSeconds)*time.Second, slow)
	}
	s.pod = &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, // events name it
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", UID: "1234"},
	}
	s.pod.Spec.RestartPolicy = pick(lots, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	switch lots.IntN(4) {
	case 0: // a sidecar
		probed.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		s.pod.Spec.InitContainers = []corev1.Container{probed}
		s.pod.Spec.Containers = []corev1.Container{{Name: "other"}}
	case 1: // a container with a policy of its own
		probed.RestartPolicy = new(pick(lots, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure))
		probed.RestartPolicyRules = []corev1.ContainerRestartRule{{
			Action: pick(lots, corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers),
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{
				Operator: pick(lots, corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn),
				Values:   []int32{42},
			},
		}}
		s.pod.Spec.Containers = []corev1.Container{probed}
	default:
		// Beside one whose end may start all of them again.
		s.pod.Spec.Containers = []corev1.Container{probed, {
			Name:          "other",
			RestartPolicy: new(corev1.ContainerRestartPolicyNever),
			RestartPolicyRules: []corev1.ContainerRestartRule{{
				Action:    corev1.ContainerRestartRuleActionRestartAllContainers,
				ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: []int32{42}},
			}},
		}}
	}
	s.steps = s.randomSteps(lots, stopping)
	return s
}

func randomProbe(lots *rand.Rand, kind ours.Kind) *corev1.Probe {
	spec := &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{string(kind)}}},
		InitialDelaySeconds: pick[int32](lots, 0, 0, 1, 7, 20),
		PeriodSeconds:       pick[int32](lots, 1, 2, 5, 10),
		TimeoutSeconds:      1,
		FailureThreshold:    pick[int32](lots, 1, 2, 3, 5),
		SuccessThreshold:    1,
	}
	if kind == ours.Readiness {
		spec.SuccessThreshold = pick[int32](lots, 1, 1, 2, 4)
	}
	return spec
}

func randomAnswers(lots *rand.Rand, period time.Duration, slow bool) []answer {
	var all []answer
	for at := time.Duration(0); at < length+time.Minute; {
		at += time.Duration(lots.Int64N(int64(25 * time.Second)))
		a := answer{until: at}
		switch lots.IntN(6) {
		case 0, 1, 2:
			a.verdict = ours.Verdict{Result: ours.Success, Message: "fine"}
		case 3, 4:
			a.verdict = ours.Verdict{Result: ours.Failure, Message: fmt.Sprint("failure until ", at)}
		case 5:
			a.verdict = ours.Verdict{Result: ours.Unknown, Message: "no runtime", Discarded: true}
		}
		longest := period / 4
		if slow {
			longest = period * 5 / 2
		}
		if lots.IntN(2) == 0 {
			a.takes = time.Duration(lots.Int64N(int64(longest)))
		}
		all = append(all, a)
	}
	return all
}

// randomSteps tells what the kubelet hears of the container: created, syncs, its end, the next one.
func (s *scenario) randomSteps(lots *rand.Rand, stopping bool) []step {
	var steps []step
	now := corev1.ContainerStatus{Name: "main"}
	phase := corev1.PodPending
	created := 0
	add := func(at time.Duration) {
		status := corev1.PodStatus{Phase: phase}
		if len(s.pod.Spec.InitContainers) > 0 {
			status.InitContainerStatuses = []corev1.ContainerStatus{now}
		} else {
			status.ContainerStatuses = []corev1.ContainerStatus{now}
		}
		s.surround(lots, &status)
		steps = append(steps, step{at: at, status: *status.DeepCopy()})
	}
	for at := time.Duration(0); ; {
		at += time.Duration(lots.Int64N(int64(pick(lots, 2*time.Second, 15*time.Second, 40*time.Second)))) + time.Millisecond
		if at >= length {
			break
		}
		switch lots.IntN(7) {
		case 0, 1: // a new container
			created++
			phase = corev1.PodRunning
			since := s.begin.Add(at)
			if created == 1 && lots.IntN(3) == 0 {
				since = since.Add(-kubeletUp - 10*time.Minute) // older than this kubelet
			}
			now.ContainerID = fmt.Sprintf("test://%d", created)
			now.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(since)}}
			now.Started = nil
			if created == 1 && lots.IntN(3) == 0 {
				now.Started = new(true)
			}
		case 2: // its end
			if now.State.Running != nil {
				now.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: pick[int32](lots, 0, 1, 42)}}
			}
		case 3:
			if now.State.Terminated != nil {
				now.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
			}
		default: // a sync
		}
		add(at)
	}
	if stopping && len(steps) > 3 {
		at := len(steps) * 2 / 3
		if lots.IntN(2) == 0 {
			steps[at].deleted = true
		} else {
			steps[at].stopped = true
		}
	}
	if lots.IntN(6) == 0 && len(steps) > 0 {
		steps[len(steps)-1].status.Phase = pick(lots, corev1.PodSucceeded, corev1.PodFailed)
	}
	return steps
}

// surround adds what else a status says: the end of another container, or that all start again.
func (s *scenario) surround(lots *rand.Rand, status *corev1.PodStatus) {
	if code := pick[int32](lots, 0, 1, 42); len(s.pod.Spec.Containers) > 1 && code > 0 {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: "other", ContainerID: "test://other", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}},
		})
	}
	if lots.IntN(4) == 0 {
		status.Conditions = []corev1.PodCondition{{Type: corev1.AllContainersRestarting, Status: pick(lots, corev1.ConditionTrue, corev1.ConditionFalse)}}
	}
}

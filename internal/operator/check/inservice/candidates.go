package inservice

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// candidates says which pods are to be taken out as far as this replica can tell by itself, and why others
// that fail are kept in, check by check.
func candidates(s *state) []action {
	var out []action
	for _, r := range s.sortedRecords() {
		if r.check.Spec.TakeOutOfService == nil || !s.fresh(r) || s.resting(r.check) {
			continue
		}
		for _, v := range r.failing() {
			if a, ok := candidate(s, r, v); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

// candidate judges a pod that has failed often enough. It says nothing of one that is gone, going, out, or
// not opened yet.
func candidate(s *state, r *record, v verdict) (action, bool) {
	w, gated := s.pods[v.pod.UID]
	me, there := s.siblings[v.pod.UID]
	b := s.bounds[v.pod.Namespace]
	a := action{
		kind: withhold, check: r.check, verdict: v, bounds: b, dry: b.dryRun(r.check), mine: true,
		pod: pod{NamespacedName: v.pod.NamespacedName, uid: v.pod.UID},
	}
	switch {
	case !there || me.terminating || v.pod.Namespace != r.check.Namespace:
		return action{}, false
	case !gated:
		a.reason, a.message = brakeNoGate, fmt.Sprintf("the pod does not name %s in spec.readinessGates; add it to the pod template", v1alpha1.ReadinessGateInService)
		return a, true
	case w.leaving || w.gate == nil || w.out():
		return action{}, false
	}
	if e, ok := s.dry.find(w.uid); ok && e.Out {
		if a.dry {
			return action{}, false
		}
	}
	a.pod = w.pod
	a.reason, a.message = brake(s, r, w, me)
	if a.reason != "" {
		return a, true
	}
	a.control, _ = r.control()
	a.kind, a.reason, a.message = take, reasonFailed, v.sentence(r.check)
	return a, true
}

// brake says what keeps a pod that fails in service, as far as this replica knows; the reason is empty where
// nothing does.
func brake(s *state, r *record, w watched, me sibling) (reason, message string) {
	b := s.bounds[w.Namespace]
	switch {
	case b.paused:
		return reasonPaused, pausedMessage
	case s.closed(b) != "":
		return brakeHours, s.closed(b)
	case !b.dryRun(r.check) && s.forbidden[w.Namespace] != "":
		return brakeForbidden, s.forbidden[w.Namespace]
	case s.settled < r.window():
		return brakeSettling, fmt.Sprintf("the operator started, its replicas changed, or the API server was away %s ago; it watches for %s before it takes pods out", s.settled.Round(1e9), r.window())
	case !w.ready:
		return brakeNotReady, "the pod is not ready for another reason, so it gets no traffic anyway"
	}
	if message := sharedCause(s, r, w.uid, me.workload); message != "" {
		return brakeSharedCause, message
	}
	if _, ok := r.control(); !ok {
		return brakeNoControl, "no other pod of the check answers well, so the fault may lie with the operator or the network"
	}
	return rollout(s, r, me)
}

// rollout says that the pods of a workload are being replaced: some are terminating, or younger than two
// periods.
func rollout(s *state, r *record, me sibling) (reason, message string) {
	var moving []string
	for _, uid := range s.workloads[me.workload] {
		other := s.siblings[uid]
		// One of which nobody knows when it was created is taken for new.
		if other.terminating || other.created.IsZero() || s.now.Sub(other.created) < 2*r.period() {
			moving = append(moving, other.name)
		}
	}
	if len(moving) == 0 {
		return "", ""
	}
	return brakeRollout, fmt.Sprintf("pod %s of the same workload is terminating or new", slices.Min(moving))
}

// failing are the pods that have failed as often in a row as makes the check unhealthy, the worst first.
func (r *record) failing() []verdict {
	var out []verdict
	for _, v := range r.pods {
		if v.color == red && v.failures >= threshold(r.check.Spec.FailureThreshold, 3) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b verdict) int {
		if a.failures != b.failures {
			return b.failures - a.failures
		}
		return strings.Compare(a.pod.String(), b.pod.String())
	})
	return out
}

func (s *state) sortedRecords() []*record {
	out := make([]*record, 0, len(s.records))
	for _, r := range s.records {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *record) int { return strings.Compare(string(a.check.UID), string(b.check.UID)) })
	return out
}

// confirmed says whether a pod failed once more: in two places or more where the control answered well, and
// nowhere else better. The reason is empty where it did.
func confirmed(results []plan.Result, subject, control types.UID) (reason, message string) {
	failed, well := map[string]bool{}, map[string]bool{}
	for _, result := range results {
		switch {
		case result.Pod.UID == subject && result.Result == v1alpha1.ResultSuccess:
			return brakeNotConfirmed, "asked again, it answered well from " + place(result.From)
		case result.Pod.UID == subject && result.Result == v1alpha1.ResultFailure:
			failed[result.From] = true
		case result.Pod.UID == control && result.Result == v1alpha1.ResultSuccess:
			well[result.From] = true
		}
	}
	both := 0
	for from := range failed {
		if well[from] {
			both++
		}
	}
	switch {
	case both >= 2:
		return "", ""
	case len(failed) > 0 && len(well) == 0:
		return brakeNoControl, "asked again, no other pod of the check answered well either, so the fault may lie with the operator or the network"
	}
	return brakeNotConfirmed, fmt.Sprintf("asked again, it failed in %d places where another pod of the check answered well, and two are needed", both)
}

func place(from string) string {
	if from == "" {
		return "the operator"
	}
	return "node " + from
}

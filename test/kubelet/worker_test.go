package kubelet_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ours "github.com/maek-dev/maek/internal/probe"
	corev1 "k8s.io/api/core/v1"
)

// scenarios is how many lives of pods are made up.
const scenarios = 600

func TestWorkers(t *testing.T) {
	same, asked, believed, events := 0, 0, 0, 0
	for seed := range uint64(scenarios) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s, theirs, seen := live(t, seed)
			maek := simulate(s, seen)
			if diff := cmp.Diff(theirs, maek); diff != "" {
				t.Fatalf("-kubelet +maek:\n%s", diff)
			}
			same++
			for _, did := range theirs {
				asked += len(did.Asked)
				believed += len(did.Believed)
				events += len(did.Events)
			}
		})
	}
	t.Logf("agreement on workers: %d of %d pods, to the moment: %d attempts, %d results, %d events", same, scenarios, asked, believed, events)
	if asked == 0 || believed == 0 || events == 0 {
		t.Error("the scenarios ask, change or tell nothing")
	}
}

// one is one of our workers while it lives through a scenario.
type one struct {
	worker ours.Worker
	state  ours.State
	// answerAt is when the attempt under way ends.
	answerAt time.Time
	verdict  ours.Verdict
}

// simulate drives our workers through a scenario, with the statuses that the kubelet made at each
// step.
func simulate(s *scenario, seen []corev1.PodStatus) trace {
	did := newTrace()
	var workers []*one
	for _, kind := range ours.Kinds() {
		if kind.Of(s.container()) == nil {
			continue
		}
		w := ours.Worker{Kind: kind, Pod: &s.pod.Spec, Container: s.container(), KubeletStart: s.begin.Add(-kubeletUp)}
		workers = append(workers, &one{worker: w, state: w.Start(s.begin, 0.5)})
	}
	var status *corev1.PodStatus
	deleting := false
	run := func(w *one, in ours.Input) {
		for again := true; again; {
			in.Status, in.Deleting = status, deleting
			var action ours.Action
			w.state, action = w.worker.Step(w.state, in)
			w.note(did[w.worker.Kind], s, in.At, action)
			// An answer that takes no time comes at once.
			again = action.Probe && w.answerAt.Equal(in.At)
			in = ours.Input{At: in.At, Verdict: &w.verdict}
		}
	}

	end := s.begin.Add(length)
	for i := 0; ; {
		at, due := end, -1
		if i < len(s.steps) {
			at = s.begin.Add(s.steps[i].at)
		}
		for j, w := range workers {
			if next, ok := w.next(); ok && next.Before(at) {
				at, due = next, j
			}
		}
		switch {
		case due >= 0 && workers[due].state.Asking():
			run(workers[due], ours.Input{At: at, Verdict: &workers[due].verdict})
		case due >= 0:
			run(workers[due], ours.Input{At: at})
		case i < len(s.steps):
			step := s.steps[i]
			deleting = deleting || step.deleted
			// Sidecars are not stopped before their pod has ended.
			stop := step.stopped && len(s.pod.Spec.InitContainers) == 0
			status = &seen[i]
			for _, w := range workers {
				run(w, ours.Input{At: at, Synced: true, Stop: stop && w.worker.Kind != ours.Readiness})
			}
			i++
		default:
			return did
		}
	}
}

// next is when a worker must be told something.
func (w *one) next() (time.Time, bool) {
	switch {
	case w.state.Ended:
		return time.Time{}, false
	case w.state.Asking():
		return w.answerAt, true
	default:
		return w.state.NextTick, true
	}
}

func (w *one) note(did *doings, s *scenario, now time.Time, action ours.Action) {
	at := now.Sub(s.begin)
	if action.Event != nil {
		did.Events = append(did.Events, fmt.Sprint(at, " ", action.Event.Reason, ": ", action.Event.Message))
	}
	if action.Changed {
		did.believe(at, w.state.ContainerID, believedAs(w.state.Cached))
	}
	if action.Probe {
		did.Asked = append(did.Asked, fmt.Sprint(at, " ", w.state.ContainerID))
		answer := s.answerAt(w.worker.Kind, at)
		w.answerAt, w.verdict = now.Add(answer.takes), answer.verdict
	}
}

// believedAs is how the kubelet's cache of results writes one.
func believedAs(result ours.Result) string {
	switch result {
	case ours.Success:
		return "Success"
	case ours.Failure:
		return "Failure"
	default:
		return "UNKNOWN"
	}
}

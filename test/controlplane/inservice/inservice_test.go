package inservice

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// allOpen tells that every pod's condition is True.
func (s *shop) allOpen() bool {
	for _, status := range s.gates() {
		if status != corev1.ConditionTrue {
			return false
		}
	}
	return true
}

// isOut tells that a pod's condition is False.
func (s *shop) isOut(name string) func() bool {
	return func() bool { return s.gates()[name] == corev1.ConditionFalse }
}

func TestPodThatFailsIsTakenOutAndGivenBack(t *testing.T) {
	s := newShop(t, 3, true)
	k := s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.mark("web-2")
	s.until("web-2 is out", s.isOut("web-2"))
	s.kubelet()
	p := s.pods()[1]
	if got := status(&p, corev1.PodReady); got != corev1.ConditionFalse {
		t.Errorf("the pod is ready: %s", got)
	}
	want := &corev1.PodCondition{Type: "example.com/other", Status: corev1.ConditionFalse, Reason: "Kept"}
	if diff := cmp.Diff(want, condition(&p, "example.com/other")); diff != "" {
		t.Errorf("another's condition (-want +got):\n%s", diff)
	}
	probed := condition(&p, v1alpha1.ReadinessGateInService).LastProbeTime
	s.until("the condition is written anew", func() bool {
		p := s.pods()[1]
		return condition(&p, v1alpha1.ReadinessGateInService).LastProbeTime.After(probed.Time)
	})
	s.mark()
	took := s.until("web-2 is back", s.allOpen)
	if took > 20*time.Second {
		t.Errorf("it was back %s after it had recovered, want two periods at most", took)
	}
	var actions []string
	for _, c := range k.consequences() {
		actions = append(actions, string(c.Action)+" "+c.Pod+" "+c.Reason)
	}
	if diff := cmp.Diff([]string{"TakenOut web-2 CheckFailed", "GivenBack web-2 Recovered"}, dropWithheld(actions)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func dropWithheld(actions []string) []string {
	var out []string
	for _, a := range actions {
		if !strings.HasPrefix(a, string(v1alpha1.ActionWithheld)) {
			out = append(out, a)
		}
	}
	return out
}

func TestWithoutTheRoleItSaysWhichCommandGrantsIt(t *testing.T) {
	s := newShop(t, 1, false)
	k := s.start("maek-operator-0", nil, true, nil)
	var note string
	s.until("an Event tells of it", func() bool {
		select {
		case note = <-k.events.Events:
			return true
		default:
			return false
		}
	})
	command := "kubectl create rolebinding maek-check-in-service --clusterrole=maek-check-in-service --serviceaccount=maek-system:maek-operator -n " + s.namespace
	if !strings.Contains(note, command) {
		t.Errorf("the Event says %q, want the command %q", note, command)
	}
	if s.allOpen() {
		t.Fatal("the pod is open, and nobody may open it")
	}
	s.bind()
	s.until("the pod is opened", s.allOpen)
}

func TestAnotherReplicaGivesBackWhatADeadOneTookOut(t *testing.T) {
	s := newShop(t, 3, true)
	dead := s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.mark("web-2")
	s.until("web-2 is out", s.isOut("web-2"))
	dead.stop()
	dead.check = nil
	s.start("maek-operator-1", nil, false, nil)
	took := s.until("web-2 is back", s.allOpen)
	if took < 60*time.Second || took > 150*time.Second {
		t.Errorf("it was back after %s, want 90 s and a little", took)
	}
}

func TestPausedPolicyGivesBackAtOnce(t *testing.T) {
	s := newShop(t, 3, true)
	s.start("maek-operator-0", s.check, true, nil)
	s.until("all pods are opened", s.allOpen)
	s.mark("web-2")
	s.until("web-2 is out", s.isOut("web-2"))
	s.policy.Spec.TakeOutOfService.Paused = true
	if err := cluster.Update(t.Context(), s.policy); err != nil {
		t.Fatal(err)
	}
	if took := s.until("web-2 is back", s.allOpen); took > 10*time.Second {
		t.Errorf("it was back after %s", took)
	}
}

// TestReplicasThatRaceKeepTheFloor has two replicas with checks of their own: each finds another of two pods
// broken, and would be right to take it out if it were alone.
func TestReplicasThatRaceKeepTheFloor(t *testing.T) {
	s := newShop(t, 2, true)
	other := s.check.DeepCopy()
	other.ResourceVersion, other.UID, other.Name = "", "", "web-too"
	make1(t, other)
	one := s.start("maek-operator-0", s.check, true, map[string]bool{"web-1": true})
	two := s.start("maek-operator-1", other, true, map[string]bool{"web-2": true})
	most, rounds := 0, 0
	s.until("one pod was taken out, and the other kept in for it", func() bool {
		out := 0
		for _, status := range s.gates() {
			if status == corev1.ConditionFalse {
				out++
			}
		}
		most = max(most, out)
		if out > 1 {
			t.Fatalf("%d of 2 pods are out", out)
		}
		rounds = 0
		for _, k := range []*keeper{one, two} {
			for _, c := range k.consequences() {
				if c.Action == v1alpha1.ActionTakenOut {
					rounds++
				}
			}
		}
		return rounds >= 1 && (withheldFor(one, "TooFewEndpoints") || withheldFor(two, "TooFewEndpoints"))
	})
	if most > 1 || rounds < 1 {
		t.Errorf("%d were out at a time, of %d that were taken out", most, rounds)
	}
}

func withheldFor(k *keeper, reason string) bool {
	for _, c := range k.consequences() {
		if c.Action == v1alpha1.ActionWithheld && c.Reason == reason {
			return true
		}
	}
	return false
}

// TestPreconditions holds what the patches rely on: the API server refuses one for another pod, and one for
// another version of it.
func TestPreconditions(t *testing.T) {
	s := newShop(t, 1, false)
	p := s.pods()[0]
	cases := map[string]struct {
		meta string
		want func(error) bool
	}{
		"the pod itself":     {fmt.Sprintf(`{"uid":%q}`, p.UID), func(err error) bool { return err == nil }},
		"another's UID":      {`{"uid":"11111111-2222-3333-4444-555555555555"}`, func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsInvalid(err) }},
		"an earlier version": {fmt.Sprintf(`{"uid":%q,"resourceVersion":"1"}`, p.UID), apierrors.IsConflict},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			patch := fmt.Sprintf(`{"metadata":%s,"status":{"conditions":[{"type":"maek.dev/in-service","status":"True"}]}}`, tc.meta)
			err := cluster.Status().Patch(t.Context(), p.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
			if !tc.want(err) {
				t.Errorf("the API server answers %v", err)
			}
		})
	}
}

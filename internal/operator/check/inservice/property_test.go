package inservice

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// TestInvariants lets a cluster live through random events with three replicas and holds, at every step:
//
//   - nobody is taken out below the floor, nor above maxOut, nor while paused, nor twice within the pause;
//   - no condition is False for longer than maxSeconds while a replica is alive;
//   - a pod that is there and has no condition gets one.
func TestInvariants(t *testing.T) {
	seeds := 10
	if testing.Short() {
		seeds = 5
	}
	takes := 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { takes += live(t, uint64(seed)) })
	}
	if takes < seeds {
		t.Errorf("only %d pods were taken out in %d lives: the invariants were held by doing nothing", takes, seeds)
	}
}

// lifetime is a life of the cluster.
type lifetime struct {
	*world
	rand *rand.Rand
	// began is when each pod's condition became False, by the time that has really passed.
	began map[string]time.Duration
	takes int
	// racing tells that one acts while another is about to write the ledger.
	racing bool
}

const (
	maxOut  = 2
	apart   = 60 * time.Second
	longest = 200 * time.Second
)

func live(t *testing.T, seed uint64) int {
	t.Helper()
	w := newWorldOf(t, 5, 3)
	w.step = 5 * time.Second
	p := w.policy.Spec.TakeOutOfService
	p.MaxOut, p.SecondsApart, p.MaxSeconds, p.MaxFailingPercent, p.MaxTimesADay = maxOut, int32(apart/time.Second), int32(longest/time.Second), 60, 50
	w.update(w.policy)
	l := &lifetime{world: w, rand: rand.New(rand.NewPCG(seed, 1)), began: map[string]time.Duration{}}
	for i := range 3 {
		w.start(i == 0, true)
	}
	w.onTake = l.taken
	w.onLedger = l.race
	w.onPatch = func() error {
		if l.rand.IntN(20) == 0 {
			return errors.New("connection reset")
		}
		return nil
	}
	for range 120 {
		l.event()
		for _, r := range w.replicas {
			r.answers = l.answer
		}
		// All that happened is known everywhere, but for what gates did to the endpoints: that lags.
		w.readiness()
		w.pass(w.step, true)
		l.hold()
	}
	return l.takes
}

// answer is what somebody gets who asks once more.
func (l *lifetime) answer(_ string, p plan.Pod) v1alpha1.CheckResult {
	return l.world.answer(p)
}

// race lets another replica act while one is about to write the ledger.
func (l *lifetime) race() {
	if l.racing || l.rand.IntN(2) == 0 {
		return
	}
	l.racing = true
	defer func() { l.racing = false }()
	r := l.replicas[l.rand.IntN(len(l.replicas))]
	r.consider(l.t.Context())
}

// event is one thing that happens.
func (l *lifetime) event() {
	t := l.t
	pods := l.pods()
	some := func() *corev1.Pod { return &pods[l.rand.IntN(len(pods))] }
	switch l.rand.IntN(16) {
	case 0, 1, 2:
		l.broken[some().Name] = true
	case 3, 4:
		clear(l.broken)
	case 5:
		name := some().Name
		l.unready[name] = !l.unready[name]
		l.kubelet()
	case 6:
		l.addPod(l.replicas[0].clock.Now(), true)
	case 7:
		if len(pods) > 2 {
			if err := l.api.Delete(t.Context(), some()); err != nil {
				t.Fatal(err)
			}
			l.kubelet()
		}
	case 8:
		// A replica dies, and another comes in its place.
		i := l.rand.IntN(len(l.replicas))
		was := l.replicas[i].owner
		l.replicas = slices.Delete(l.replicas, i, i+1)
		l.start(was, false)
	case 9:
		// Checks go to another replica, or two think for a while that they own them.
		for _, r := range l.replicas {
			r.owner = false
		}
		l.replicas[l.rand.IntN(len(l.replicas))].owner = true
		if l.rand.IntN(3) == 0 {
			l.replicas[l.rand.IntN(len(l.replicas))].owner = true
		}
	case 10:
		// A clock is set.
		r := l.replicas[l.rand.IntN(len(l.replicas))]
		r.clock.SetTime(r.clock.Now().Add(time.Duration(l.rand.IntN(7200)-3600) * time.Second))
	case 11:
		l.policy.Spec.TakeOutOfService.Paused = !l.policy.Spec.TakeOutOfService.Paused && l.rand.IntN(2) == 0
		l.update(l.policy)
	default:
		l.pass(10*time.Second, true)
		l.hold()
	}
}

// taken holds what must be true at the moment in which a pod is taken out.
func (l *lifetime) taken(name string) {
	l.takes++
	total, ready, outs := 0, 0, 0
	for _, p := range l.pods() {
		total++
		seen, _ := podOf(&p)
		if seen.out() {
			outs++
		} else if seen.gate != nil && !l.unready[p.Name] {
			ready++
		}
	}
	if need := max(1, (total+1)/2); ready < need {
		l.t.Errorf("%s was taken out, and %d of %d endpoints are ready", name, ready, total)
	}
	if outs > maxOut {
		l.t.Errorf("%s was taken out, and %d are out", name, outs)
	}
	if l.policy.Spec.TakeOutOfService.Paused {
		l.t.Errorf("%s was taken out while the policy pauses", name)
	}
	if !l.broken[name] {
		l.t.Errorf("%s was taken out and does not fail", name)
	}
}

// hold holds what must be true at any time.
func (l *lifetime) hold() {
	outs := map[string]bool{}
	for _, p := range l.pods() {
		if seen, _ := podOf(&p); seen.out() {
			outs[p.Name] = true
		}
	}
	for name := range l.began {
		if !outs[name] {
			delete(l.began, name)
		}
	}
	for name := range outs {
		since, known := l.began[name]
		if !known {
			l.began[name] = l.passed
			continue
		}
		// The others wait, a patch may be lost, and a look is every few seconds.
		if was := l.passed - since; was > longest+othersWait+6*l.step {
			l.t.Errorf("%s was out for %s, and may be for %s", name, was, longest)
		}
	}
}

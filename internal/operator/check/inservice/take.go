package inservice

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	// races is how often it is begun anew when another replica or the kubelet was quicker.
	races = 3
	// inFlight is after how long a patch that did not arrive is made impossible.
	inFlight = time.Minute
	// confirmWithin bounds asking once more.
	confirmWithin = 30 * time.Second
)

// consider takes out of service who is to be, and tells of those who are kept in.
func (k *Keeper) consider(ctx context.Context) {
	s, err := k.gather(ctx, true)
	k.complain(ctx, "no pod is taken out of service while this cannot be read", err)
	if err != nil {
		return
	}
	k.forgetTold(s)
	// One pod of a check at a time; what keeps one in for long keeps no other from being judged.
	done := map[types.UID]bool{}
	for _, a := range candidates(s) {
		if ctx.Err() != nil {
			return
		}
		if a.kind == withhold {
			k.tell(a, v1alpha1.ActionWithheld, s.now)
			continue
		}
		k.mu.Lock()
		at, refused := k.refused[a.pod.uid]
		refused = refused && k.age-at < againAfter
		k.mu.Unlock()
		if !refused && !done[a.check.UID] {
			done[a.check.UID] = k.take(ctx, s.records[a.check.UID], a)
		}
	}
}

// take takes a pod out of service, if the examination and those who are asked once more let it, and tells whether
// they did.
func (k *Keeper) take(ctx context.Context, r *record, a action) bool {
	x, err := k.examine(ctx, r, a)
	if err == nil && x.reason == "" {
		x.reason, x.message, err = k.confirm(ctx, a)
	}
	if err == nil && x.reason == "" {
		if a.dry {
			x, err = k.takeDry(ctx, r, a)
		} else {
			x, err = k.takeOut(ctx, r, a)
		}
	}
	switch {
	case ctx.Err() != nil:
		return false
	case apierrors.IsNotFound(err):
		return false
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		// Others were quicker, time and again; it is tried again.
		k.refuseFor(a.pod.uid)
		return false
	case err != nil:
		k.o.Log.Warn("a pod that fails is kept in service", "pod", a.pod.NamespacedName, "error", err)
		a.reason, a.message = brakeUnread, fmt.Sprintf("what must be known or written to take it out could not be: %v", err)
	case x.reason == "":
		k.o.Log.Info("a pod is out of service", "pod", a.pod.NamespacedName, "check", a.check.Name, "dryRun", a.dry)
		k.tell(a, v1alpha1.ActionTakenOut, k.o.Clock.Now())
		return true
	default:
		a.reason, a.message = x.reason, x.message
	}
	k.refuseFor(a.pod.uid)
	k.tell(a, v1alpha1.ActionWithheld, k.o.Clock.Now())
	return false
}

func (k *Keeper) refuseFor(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused[uid] = k.age
}

// confirm asks the check's question of the pod once more, and of one that answers well.
func (k *Keeper) confirm(ctx context.Context, a action) (reason, message string, err error) {
	ctx, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	results, err := k.o.Confirm(ctx, a.check, []plan.Pod{a.verdict.pod, a.control})
	if err != nil {
		return "", "", fmt.Errorf("asking pod %s once more: %w", a.pod.NamespacedName, err)
	}
	reason, message = confirmed(results, a.pod.uid, a.control.UID)
	return reason, message, nil
}

// examination is what the API server itself says.
type examination struct {
	lease  *coordinationv1.Lease
	ledger ledger
	pod    *corev1.Pod
	// reason for which the pod stays in; empty where it may be taken out.
	reason, message string
}

// examine judges a pod by what the API server says now, and not by the cache.
func (k *Keeper) examine(ctx context.Context, r *record, a action) (examination, error) {
	var x examination
	var err error
	if x.lease, x.ledger, err = k.readLedger(ctx, !a.dry); err != nil {
		return x, err
	}
	now := k.o.Clock.Now()
	x.ledger = k.present(x.ledger, now).kept(now)
	if a.dry {
		k.mu.Lock()
		k.dry = k.dry.kept(now)
		x.ledger = x.ledger.join(k.dry)
		k.mu.Unlock()
	}
	if x.pod, err = k.readPod(ctx, a.pod.NamespacedName); err != nil {
		return x, err
	}
	seen, gated := podOf(x.pod)
	if x.pod.UID != a.pod.uid || !gated || seen.leaving || seen.gate == nil || seen.out() || !seen.ready {
		x.reason, x.message = brakeNotReady, "the pod is not ready any more, so it gets no traffic anyway"
		return x, nil
	}
	if err := k.settle(ctx, &x, now, a.dry); err != nil {
		return x, err
	}
	if x.reason, x.message = k.aged(x.ledger, now).refuse(entryOf(x.pod), a.bounds, now); x.reason != "" {
		return x, nil
	}
	return x, k.spare(ctx, r, &x)
}

// settle reads the pods that are out, so that the ledger knows which of them still are. Of those that would be out
// in a dry run the pods tell nothing.
func (k *Keeper) settle(ctx context.Context, x *examination, now time.Time, dry bool) error {
	for i := range x.ledger.Entries {
		e := &x.ledger.Entries[i]
		if !e.Out || dry && k.wouldBeOut(e.UID) {
			continue
		}
		p, err := k.readPod(ctx, e.name())
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err != nil {
			p = nil
		}
		*e = e.settle(p)
		if e.Out && p != nil && now.Sub(e.last()) >= inFlight {
			k.void(ctx, p, now)
		}
	}
	return nil
}

// void makes a patch impossible that has not arrived: it gives the pod another version. The entry counts as
// out until that is seen.
func (k *Keeper) void(ctx context.Context, p *corev1.Pod, now time.Time) {
	seen, _ := podOf(p)
	if seen.out() || seen.gate == nil {
		return
	}
	err := k.patch(ctx, seen.NamespacedName, condition{
		UID: p.UID, Version: p.ResourceVersion, Status: corev1.ConditionTrue, Reason: reasonNoVerdict, Probe: now,
	})
	if err != nil && !changed(err) && !apierrors.IsNotFound(err) {
		k.o.Log.Debug("a pod that was about to be taken out goes on to count as out", "pod", seen.NamespacedName, "error", err)
	}
}

func (k *Keeper) wouldBeOut(uid types.UID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.dry.find(uid)
	return ok && e.Out
}

func (k *Keeper) readPod(ctx context.Context, name types.NamespacedName) (*corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var p corev1.Pod
	if err := k.o.Client.Get(ctx, name, &p); err != nil {
		return nil, fmt.Errorf("reading pod %s: %w", name, err)
	}
	return &p, nil
}

// takeOut examines the pod, enters it in the ledger and patches it, from the beginning whenever somebody
// else was quicker with either.
func (k *Keeper) takeOut(ctx context.Context, r *record, a action) (examination, error) {
	var x examination
	var err error
	for range races {
		if x, err = k.examine(ctx, r, a); err != nil {
			if apierrors.IsAlreadyExists(err) {
				continue
			}
			return x, err
		}
		if x.reason != "" {
			return x, nil
		}
		before := x.ledger
		now := k.o.Clock.Now()
		err = k.writeLedger(ctx, x.lease, x.ledger.reserve(x.pod, r, a.bounds, now))
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return x, err
		}
		if x.reason, x.message, err = k.stopped(ctx, r, a); err != nil || x.reason != "" {
			k.unreserve(ctx, x.lease, before)
			return x, err
		}
		err = k.patch(ctx, a.pod.NamespacedName, condition{
			UID: x.pod.UID, Version: x.pod.ResourceVersion, Status: corev1.ConditionFalse,
			Reason: a.reason, Message: a.message, Probe: now, Turn: now,
		})
		switch {
		case err == nil:
			return x, nil
		case changed(err):
			k.unreserve(ctx, x.lease, before)
		case apierrors.IsForbidden(err):
			k.unreserve(ctx, x.lease, before)
			k.refuse(a, err)
			x.reason, x.message = brakeForbidden, k.command(a.pod.Namespace)
			return x, nil
		case apierrors.IsNotFound(err):
			k.unreserve(ctx, x.lease, before)
			return x, err
		default:
			// Nobody can tell whether it arrived: the entry stays, unless it did, which is no error then.
			return x, k.arrived(ctx, a, err)
		}
	}
	return x, err
}

// arrived is nil where a pod is out although the patch came back with an error.
func (k *Keeper) arrived(ctx context.Context, a action, err error) error {
	p, reading := k.readPod(ctx, a.pod.NamespacedName)
	if reading != nil {
		return err
	}
	if seen, _ := podOf(p); seen.uid == a.pod.uid && seen.out() {
		return nil
	}
	return err
}

// unreserve takes an entry back whose patch was not sent, or refused for certain. Where another was quicker to
// write the ledger, it stays: it counts for too much rather than too little.
func (k *Keeper) unreserve(ctx context.Context, lease *coordinationv1.Lease, before ledger) {
	if err := k.writeLedger(ctx, lease, before); err != nil && ctx.Err() == nil {
		k.o.Log.Debug("an entry stays in the ledger for a pod that was not taken out", "error", err)
	}
}

// stopped says why a pod must not be taken out any more after all that has taken its time: somebody pulled
// the brake, a newer run says otherwise, or another replica owns the check.
func (k *Keeper) stopped(ctx context.Context, r *record, a action) (reason, message string, err error) {
	all, err := k.boundsFor(ctx, map[string]bool{a.pod.Namespace: true})
	if err != nil {
		return "", "", err
	}
	k.mu.Lock()
	newest := k.records[r.check.UID]
	k.mu.Unlock()
	b := all[a.pod.Namespace]
	now := &state{now: k.o.Clock.Now()}
	switch closed := b.closed(k.o.Within, now.now); {
	case b.paused:
		return reasonPaused, pausedMessage, nil
	case closed != "":
		return brakeHours, closed, nil
	case newest == nil || newest.pods[a.pod.uid].color != red || !now.fresh(newest) || !k.o.Owns(r.check.UID):
		return brakeNotConfirmed, "it was about to be taken out, but the newest run does not find that it fails", nil
	case b.dryRun(newest.check):
		return reasonNotAllowed, "the Check or the CheckPolicy was changed to DryRun meanwhile", nil
	}
	return "", "", nil
}

// takeDry examines the pod once more and notes that it would be out.
func (k *Keeper) takeDry(ctx context.Context, r *record, a action) (examination, error) {
	x, err := k.examine(ctx, r, a)
	if err != nil || x.reason != "" {
		return x, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dry = k.dry.reserve(x.pod, r, a.bounds, k.o.Clock.Now())
	return x, nil
}

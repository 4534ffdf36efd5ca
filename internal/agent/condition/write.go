package condition

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// write gives the Node what it was not yet given, and the API server the events that wait. It says
// whether anything was written.
func (k *Keeper) write(ctx context.Context) (changed bool) {
	if k.waits() {
		return false
	}
	if k.o.Withdraw {
		return k.withdraw(ctx)
	}
	if due := k.due(); len(due) > 0 {
		if err := k.o.Writer.PatchConditions(ctx, due); err != nil {
			k.note("the Node's conditions could not be written; it is tried again", err)
			return false
		}
		k.written(due)
		changed = true
	}
	for {
		e, ok := k.events.next()
		if !ok {
			return changed
		}
		err := k.o.Writer.CreateEvent(ctx, &e)
		switch {
		case err == nil || apierrors.IsAlreadyExists(err):
			k.mu.Lock()
			k.failed = 0
			k.mu.Unlock()
		case apierrors.IsInvalid(err) || apierrors.IsForbidden(err):
			// It will never be taken.
			k.o.Log.Error("an event was refused", "reason", e.Reason, "error", err)
		default:
			k.events.putBack(e)
			k.note("an event could not be written; it is tried again", err)
			return changed
		}
		changed = true
	}
}

// withdraw takes all conditions off the Node, once, if any was ever written. It says whether it did.
func (k *Keeper) withdraw(ctx context.Context) bool {
	k.mu.Lock()
	there := k.state.OnNode
	k.mu.Unlock()
	if !there {
		return false
	}
	types := make([]corev1.NodeConditionType, 0, len(kinds))
	for _, kind := range kinds {
		types = append(types, kind.Type)
	}
	if err := k.o.Writer.RemoveConditions(ctx, types); err != nil {
		k.note("the Node's conditions could not be taken back; it is tried again", err)
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed, k.state.OnNode = 0, false
	for kind, h := range k.state.Conditions {
		h.Written = time.Time{} // Should they be wanted again, they are all to be written.
		k.state.Conditions[kind] = h
	}
	return true
}

// due are the conditions to write now: all of them where any is to be written, so that one patch does.
func (k *Keeper) due() []corev1.NodeCondition {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Now()
	if since := now.Sub(k.patched); since >= 0 && since < brake {
		return nil
	}
	needed := func(h held) bool { return h.Written.IsZero() || now.Sub(h.Written) >= heartbeat }
	if !slices.ContainsFunc(slices.Collect(maps.Values(k.state.Conditions)), needed) {
		return nil
	}
	k.patched = now
	out := make([]corev1.NodeCondition, 0, len(kinds))
	for _, kind := range kinds {
		h, ok := k.state.Conditions[kind.Type]
		if !ok {
			continue
		}
		out = append(out, corev1.NodeCondition{
			Type: kind.Type, Status: h.Status, Reason: h.Reason, Message: h.Message,
			LastTransitionTime: metav1.NewTime(h.Since), LastHeartbeatTime: metav1.NewTime(now),
		})
	}
	return out
}

// written remembers what the Node was given, unless it changed meanwhile.
func (k *Keeper) written(conditions []corev1.NodeCondition) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed, k.state.OnNode = 0, true
	for _, c := range conditions {
		h := k.state.Conditions[c.Type]
		if h.Status == c.Status && h.Reason == c.Reason && h.Message == c.Message {
			h.Written = c.LastHeartbeatTime.Time
			k.state.Conditions[c.Type] = h
		}
	}
}

// note tells of the first failure, not of each: while there is no API server the report says so. The next
// try comes later each time, and not at the same moment on all machines of a cluster whose API server
// comes back.
func (k *Keeper) note(text string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failed == 0 {
		k.o.Log.Warn(text, "error", err)
	}
	k.retry = k.o.Now().Add(min(brake<<k.failed, againAtMost) + k.spread)
	k.failed = min(k.failed+1, 5)
}

// waits tells whether it is too soon after a failure.
func (k *Keeper) waits() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Now()
	return now.Before(k.retry) && k.retry.Sub(now) <= againAtMost+spreadOver
}

// How long tries are apart at most while there is no API server, and over which time those of all machines
// are spread.
const (
	againAtMost = time.Minute
	spreadOver  = 30 * time.Second
)

// spreadOf is a machine's place in that time.
func spreadOf(node string) time.Duration {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(node))
	return time.Duration(hash.Sum32()) % spreadOver
}

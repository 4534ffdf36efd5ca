package record

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
)

const (
	// writers is how many records are written at once.
	writers = 4
	// writeWithin bounds one write, with the reads that it needs, and flushWithin the last ones: the operator
	// leaves behind what takes longer than 7 s to stop.
	writeWithin = 10 * time.Second
	flushWithin = 6 * time.Second
	// forgetAfter is for how long a check is kept in memory that nobody told of.
	forgetAfter = time.Hour
	// longestPause between looks at what is due, and the shortest one.
	longestPause  = time.Minute
	shortestPause = time.Second
	// attempts to write upon what another replica wrote in the meantime, in one go.
	attempts = 3
)

// Run writes records until ctx ends; then it writes what is not written yet, for some seconds at most,
// and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		pause := k.write(ctx, k.due)
		timer := k.o.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-k.wake:
		}
		timer.Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	k.write(last, k.rest)
	return nil
}

// write writes what a choice gives, and returns how long there is nothing to do after that.
func (k *Keeper) write(ctx context.Context, choose func(now time.Time) ([]types.UID, time.Duration)) time.Duration {
	if !k.o.Served() {
		return longestPause
	}
	now := k.o.Clock.Now()
	k.letGo(ctx, now)
	uids, pause := choose(now)
	workqueue.ParallelizeUntil(context.WithoutCancel(ctx), writers, len(uids), func(i int) { k.writeOne(ctx, uids[i]) })
	return pause
}

// letGo forgets checks that are due and are no more: their records go with them. Thousands may be deleted at once, and
// none of them is to take the turn of one that has something to write.
func (k *Keeper) letGo(ctx context.Context, now time.Time) {
	k.mu.Lock()
	due := map[types.UID]Check{}
	for uid, e := range k.entries {
		if !e.busy && len(e.unwritten) > 0 && k.isDue(uid, e, now) {
			due[uid] = e.check
		}
	}
	k.mu.Unlock()
	for uid, check := range due {
		if k.o.Exists(ctx, check) {
			continue
		}
		k.mu.Lock()
		delete(k.entries, uid)
		k.mu.Unlock()
	}
}

// isDue tells whether what is not written of a check is to be written now. What another replica goes on with is handed
// over at once.
func (k *Keeper) isDue(uid types.UID, e *entry, now time.Time) bool {
	return !e.due.After(now) || !k.o.Owns(uid) && !e.writtenAt.Add(Apart).After(now)
}

// due chooses what is due, forgets what needs no remembering, and says when something is due next.
func (k *Keeper) due(now time.Time) (uids []types.UID, pause time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pause = longestPause
	if limit := rate.Limit(writesPerSecond) / rate.Limit(k.replicas()); limit != k.pace.Limit() {
		k.pace.SetLimitAt(now, limit)
	}
	for uid, e := range k.entries {
		switch {
		case e.busy:
		case len(e.unwritten) == 0:
			if !k.o.Owns(uid) || now.Sub(e.toldAt) >= forgetAfter {
				delete(k.entries, uid)
			}
		case k.isDue(uid, e, now):
			if !k.pace.AllowN(now, 1) {
				pause = shortestPause
				continue
			}
			uids = append(uids, uid)
		default:
			pause = min(pause, e.due.Sub(now))
		}
	}
	return uids, max(pause, shortestPause)
}

// rest chooses all that is not written.
func (k *Keeper) rest(time.Time) (uids []types.UID, pause time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, e := range k.entries {
		if len(e.unwritten) > 0 {
			uids = append(uids, uid)
		}
	}
	return uids, 0
}

// writeOne writes the record of one check. Where that fails it is due again after a while; other
// records that fail for the same reason say it in the log no second time.
func (k *Keeper) writeOne(ctx context.Context, uid types.UID) {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	k.mu.Lock()
	e := k.entries[uid]
	e.busy = true
	k.mu.Unlock()
	gone, err := k.store(ctx, e)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.o.Clock.Now()
	e.busy = false
	switch {
	case gone:
		delete(k.entries, uid)
	case err != nil:
		e.writtenAt = now
		e.due = now.Add(spread(Apart, 0.5))
		k.tell(err, e)
	default:
		e.writtenAt = now
		e.due = now.Add(spread(k.checkpointEvery(), 0.2))
		k.failing = false
	}
}

func (k *Keeper) tell(err error, e *entry) {
	if !k.failing {
		k.o.Log.Warn("a check's history cannot be written; it is kept and written later",
			"kind", e.check.Kind, "namespace", e.check.Namespace, "check", e.check.Name, "error", err)
	}
	k.failing = true
}

// store brings the record in line with the entry; gone tells that there is no such check any more.
func (k *Keeper) store(ctx context.Context, e *entry) (gone bool, err error) {
	for range attempts {
		if gone, err = k.read(ctx, e); gone || err != nil {
			return gone, err
		}
		k.mu.Lock()
		written := e.taken + len(e.unwritten)
		record := e.record(k.o.Self, k.o.Clock.Now())
		k.mu.Unlock()
		if record.ResourceVersion == "" {
			err = k.o.Client.Create(ctx, record)
		} else {
			err = k.o.Client.Update(ctx, record)
		}
		k.mu.Lock()
		if err == nil {
			e.version = record.ResourceVersion
			e.drop(max(written-e.taken, 0))
			k.mu.Unlock()
			return false, nil
		}
		e.forget()
		k.mu.Unlock()
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
	}
	return false, fmt.Errorf("writing CheckRecord %s/%s: %w", e.check.Namespace, Name(e.check.Kind, e.check.Name), err)
}

// read makes the entry know what the record holds. Where there is none, or one of a check that had the
// same name before, it begins a new one.
func (k *Keeper) read(ctx context.Context, e *entry) (gone bool, err error) {
	k.mu.Lock()
	check, known := e.check, e.history != nil
	k.mu.Unlock()
	if known {
		return false, nil
	}
	found, version, err := k.find(ctx, check)
	if err != nil {
		return false, err
	}
	if version == "" && !k.o.Exists(ctx, check) {
		return true, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	e.adopt(found, version)
	return false, nil
}

// find returns what the record of a check holds, and its version; an empty one where there is none.
func (k *Keeper) find(ctx context.Context, check Check) (found *history.History, version string, err error) {
	record, err := k.get(ctx, check)
	switch {
	case err != nil:
		return nil, "", err
	case record == nil:
		return &history.History{}, "", nil
	case record.Check.UID == check.UID:
		return history.From(record), record.ResourceVersion, nil
	}
	stale := client.Preconditions{UID: &record.UID, ResourceVersion: &record.ResourceVersion}
	if err := k.o.Client.Delete(ctx, record, stale); client.IgnoreNotFound(err) != nil {
		return nil, "", fmt.Errorf("removing CheckRecord %s/%s of a check that was replaced: %w", record.Namespace, record.Name, err)
	}
	return &history.History{}, "", nil
}

// get reads the record that has the name of a check's; nil where there is none.
func (k *Keeper) get(ctx context.Context, check Check) (*v1alpha1.CheckRecord, error) {
	key := types.NamespacedName{Namespace: check.Namespace, Name: Name(check.Kind, check.Name)}
	var record v1alpha1.CheckRecord
	if err := k.o.Client.Get(ctx, key, &record); apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // there is none
	} else if err != nil {
		return nil, fmt.Errorf("reading CheckRecord %s: %w", key, err)
	}
	return &record, nil
}

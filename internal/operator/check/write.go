package check

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

const (
	// writesPerSecond bounds the writes of statuses of all replicas together, with an Event for each that turns,
	// and writeBurst is how many one replica makes at once. With those of histories (internal/operator/record)
	// they stay at 20 a second, whatever happens in the cluster, but for new Checks.
	writesPerSecond = 7
	writeBurst      = 14
	// firstsPerSecond bounds those of Checks whose status says nothing yet of what they come to: somebody has just made
	// them, one by one, and waits. A server that has too much to do answers 429, which client-go waits upon.
	firstsPerSecond = 50
	// writers is how many go on at a time.
	writers = 8
	// writeWithin bounds one write with the reads that it needs, and flushWithin the last ones.
	writeWithin = 10 * time.Second
	flushWithin = 5 * time.Second
	// writeAgain is after how long a write that failed is tried again.
	writeAgain = 5 * time.Second
	// attempts to write upon what somebody else wrote in the meantime, in one go.
	attempts = 4
	// longestPause between looks at what is to be written.
	longestPause = time.Second
	// fieldManager owns the fields of the statuses.
	fieldManager = "maek-operator"
)

// writes are the statuses that are to be written.
type writes struct {
	// pace of all but the first ones.
	pace, firsts *rate.Limiter
	wake         chan struct{}

	mu     sync.Mutex
	wanted map[types.UID]want
	// spent is how many more writes a namespace has had than its share, and looked when that was reckoned.
	spent  map[string]float64
	looked time.Time
	// failing tells that the newest write failed, and was told of; done and failed count them.
	failing      bool
	done, failed uint64
}

// want is that a status is to be written.
type want struct {
	urgency urgency
	// from when on.
	from time.Time
	// namespace of the check, and whether nothing was written yet of what it comes to.
	namespace string
	first     bool
}

func newWrites() *writes {
	return &writes{
		pace: rate.NewLimiter(writesPerSecond, writeBurst), firsts: rate.NewLimiter(firstsPerSecond, firstsPerSecond),
		wake: make(chan struct{}, 1), wanted: map[types.UID]want{}, spent: map[string]float64{},
	}
}

func (w *writes) want(uid types.UID, wanted want) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.wanted[uid]; ok && before.urgency >= wanted.urgency {
		return
	}
	w.wanted[uid] = wanted
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *writes) drop(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wanted, uid)
}

// mark has a status written if that is worth it. The subject is locked.
func (c *Controller) mark(s *subject) {
	if s.state == nil || !c.o.Owns(s.uid) {
		return
	}
	now := c.o.Clock.Now()
	u := s.state.essence().urgency(s.written)
	if u == notAtAll {
		if s.refreshAt > 0 && s.counts.ended >= s.refreshAt {
			s.heartbeatAt, s.refreshAt = now, 0
		}
		if s.state.observedAt.IsZero() || now.Before(s.heartbeatAt) {
			return
		}
		u = heartbeat
	}
	c.writes.want(s.uid, want{urgency: u, from: s.mayWrite(now), namespace: s.check.Namespace, first: s.verdictless()})
}

// write writes statuses until ctx ends.
func (c *Controller) write(ctx context.Context) {
	for ctx.Err() == nil {
		c.writeAll(ctx, c.writes.next(c.o.Clock.Now(), c.replicas()))
		timer := c.o.Clock.NewTimer(c.writes.pause())
		select {
		case <-ctx.Done():
		case <-timer.C():
		case <-c.writes.wake:
		}
		timer.Stop()
	}
}

// pause is how long there may be nothing to write.
func (w *writes) pause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wanted) > 0 {
		return time.Second / writesPerSecond
	}
	return longestPause
}

// flush writes what has changed and is not written, after ctx has ended.
func (c *Controller) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	var alarms, turned, rest []types.UID
	for _, s := range c.all() {
		s.mu.Lock()
		if s.state != nil {
			switch s.state.essence().urgency(s.written) {
			case alarm:
				alarms = append(alarms, s.uid)
			case turn:
				turned = append(turned, s.uid)
			case detail:
				rest = append(rest, s.uid)
			default:
			}
		}
		s.mu.Unlock()
	}
	c.writeAll(ctx, slices.Concat(alarms, turned, rest))
}

func (c *Controller) writeAll(ctx context.Context, uids []types.UID) {
	workqueue.ParallelizeUntil(context.WithoutCancel(ctx), writers, len(uids), func(i int) { c.writeOne(ctx, uids[i]) })
}

// writeOne writes the status of one check.
func (c *Controller) writeOne(ctx context.Context, uid types.UID) {
	s := c.subject(uid)
	if s == nil || ctx.Err() != nil {
		return
	}
	// What is begun is finished: a request that is given up may have been carried out.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	done, err := c.store(ctx, s)
	s.mu.Lock()
	s.writing = false
	s.mu.Unlock()
	if !done && err == nil {
		return
	}
	s.mu.Lock()
	check, recorded := s.check.Check, s.clear && done
	s.clear = s.clear && !recorded
	s.mu.Unlock()
	if recorded {
		c.clear(ctx, check)
	}
	now := c.o.Clock.Now()
	c.writes.count(err == nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return
	}
	s.spend(now)
	if err != nil {
		s.written = essence{}
		c.writes.tell(func() {
			c.o.Log.Warn("the status of a Check cannot be written; it is kept and written later", "check", s.check.Namespace+"/"+s.check.Name, "error", err)
		})
		c.writes.want(uid, want{urgency: alarm, from: now.Add(writeAgain), namespace: s.check.Namespace, first: s.verdictless()})
		return
	}
	s.heartbeatAt = now.Add(s.heartbeat(now, c.checks()))
	// More may have happened in between.
	c.mark(s)
}

// count counts a write.
func (w *writes) count(ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.done++
		w.failing = false
	} else {
		w.failed++
	}
}

// tell says that writes fail, once.
func (w *writes) tell(say func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.failing {
		say()
	}
	w.failing = true
}

// store brings the status in line with what is known, upon what others wrote. It is not done where that is not this
// replica's any more, or there is no such check.
func (c *Controller) store(ctx context.Context, s *subject) (done bool, err error) {
	var live *decoded
	for range attempts {
		s.mu.Lock()
		if s.state == nil || !c.o.Owns(s.uid) || live == nil && s.isWritten(c.o.Clock.Now()) {
			s.mu.Unlock()
			return false, nil
		}
		base := s.check
		if live != nil {
			base = *live
		}
		content := s.state.essence()
		// The watch brings what is written before the answer comes: it is no news.
		s.written, s.writing = content, true
		object, err := encode(base.Check, s.state.render(past(&base.Status, c.o.Clock.Now()), c.o.Self, s.staleAfter(c.o.Clock.Now(), c.checks())))
		turned := s.state.shown
		s.mu.Unlock()
		if err != nil {
			return false, err
		}
		checks := c.o.Checks.Namespace(base.Namespace)
		updated, err := checks.UpdateStatus(ctx, object, metav1.UpdateOptions{FieldManager: fieldManager})
		switch {
		case err == nil:
			return true, c.stored(s, base, updated, turned)
		case apierrors.IsNotFound(err):
			return false, nil
		case !apierrors.IsConflict(err):
			return false, fmt.Errorf("writing the status of Check %s/%s: %w", base.Namespace, base.Name, err)
		}
		// Whoever writes the object all the time makes his own statuses late with that, not those of others.
		now := c.o.Clock.Now()
		c.writes.again(now, base.Namespace)
		s.mu.Lock()
		s.spend(now)
		s.mu.Unlock()
		found, err := checks.Get(ctx, base.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && found.GetUID() != s.uid {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading Check %s/%s again: %w", base.Namespace, base.Name, err)
		}
		check, err := decode(found)
		if err != nil {
			return false, err
		}
		live = &check
	}
	return false, fmt.Errorf("writing the status of Check %s/%s: somebody else writes it all the time", live.Namespace, live.Name)
}

// stored takes note of what was written.
func (c *Controller) stored(s *subject, base decoded, updated *unstructured.Unstructured, shown condition) error {
	check, err := decode(updated)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == nil {
		return nil
	}
	// The watch may have brought a newer one already.
	if s.check.ResourceVersion == base.ResourceVersion || s.check.Generation == check.Generation {
		s.check = check
	}
	c.tell(s, shown)
	return nil
}

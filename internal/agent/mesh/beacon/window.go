package beacon

import (
	"math/bits"
	"time"
)

// Span is how many of the latest beacons of a stream loss is counted over: of ten small ones, a
// single lost one is 0.1. A window of big ones is shorter, for they are rarer.
func (s Stream) Span() uint32 {
	if s.Big() {
		return 5
	}
	return 10
}

// Window is the account of one stream at its receiver. The zero Window has heard nothing.
type Window struct {
	session  uint32
	first    uint32
	highest  uint32
	arrived  uint64
	last     time.Time
	interval time.Duration
	ended    bool

	// Received, Reordered and Repeated count beacons of all sessions: those taken, those of them that
	// came after a later one, and those refused since they had come before.
	Received, Reordered, Repeated uint64
}

// kept is how many numbers behind the highest are remembered.
const kept = 64

// Take enters a beacon that arrived. It refuses one that was taken before, and one of an earlier
// session: both are somebody's recording, or the network's doing.
func (w *Window) Take(b Beacon, now time.Time) bool {
	switch {
	case b.Session < w.session:
		w.Repeated++
		return false
	case b.Session > w.session || w.last.IsZero():
		w.session, w.first, w.highest, w.arrived = b.Session, b.Number, b.Number, 1
	case b.Number > w.highest:
		w.arrived = w.arrived<<min(b.Number-w.highest, kept) | 1
		w.highest = b.Number
	default:
		behind := w.highest - b.Number
		if behind >= kept || w.arrived&(1<<behind) != 0 {
			w.Repeated++
			return false
		}
		w.arrived |= 1 << behind
		w.first = min(w.first, b.Number)
		w.Reordered++
	}
	w.Received++
	w.last, w.interval, w.ended = now, b.Interval, b.Last
	return true
}

// Begin makes room for a session that its sender vouched for: one that seems older than the last was begun after
// the sender's clock was set back.
func (w *Window) Begin(session uint32) {
	if session < w.session {
		*w = Window{Received: w.Received, Reordered: w.Reordered, Repeated: w.Repeated}
	}
}

// Restart forgets what was missed and counts from now on, as after a pause of the receiver's own.
func (w *Window) Restart(now time.Time) {
	if w.last.IsZero() {
		return
	}
	w.first, w.arrived, w.last = w.highest, 1, now
}

// Age since the last beacon; false where none ever came.
func (w *Window) Age(now time.Time) (time.Duration, bool) {
	if w.last.IsZero() {
		return 0, false
	}
	return max(now.Sub(w.last), 0), true
}

// Last is when the last beacon came; zero where none ever did.
func (w *Window) Last() time.Time { return w.last }

// Ended tells that the sender said that no other will follow.
func (w *Window) Ended() bool { return w.ended }

// Loss is what part of the latest beacons of a stream is missing, 0 to 1, and of how many. Those that
// should have come meanwhile count, half an interval after their time. No beacon is of zero.
func (w *Window) Loss(now time.Time, span uint32) (loss float64, of int) {
	if w.last.IsZero() {
		return 0, 0
	}
	var overdue uint32
	if w.interval > 0 && !w.ended {
		late := now.Sub(w.last) - w.interval/2
		overdue = uint32(min(max(late/w.interval, 0), kept)) //nolint:gosec // between 0 and kept
	}
	n := min(w.highest-w.first+1+overdue, span)
	got := 0
	if n > overdue {
		got = bits.OnesCount64(w.arrived & (1<<(n-overdue) - 1))
	}
	return float64(int(n)-got) / float64(n), int(n)
}

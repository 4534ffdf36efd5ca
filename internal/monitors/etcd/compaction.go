package etcd

import (
	"strconv"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

func hexadecimal(decimal string) string {
	n, err := strconv.ParseUint(decimal, 10, 64)
	if err != nil {
		return decimal
	}
	return formatID(n)
}

// compaction is what was last seen of it.
type compaction struct {
	revision float64
	current  float64
	since    time.Time
}

// tellCompaction tells for how long the store has not been compacted, and what was written meanwhile.
// kube-apiserver has it compacted every five minutes (--etcd-compaction-interval).
func (w *watcher) tellCompaction(s *sample) {
	revision, ok := s.values["etcd_debugging_mvcc_compact_revision"]
	if !ok {
		return
	}
	current := s.values["etcd_debugging_mvcc_current_revision"]
	if w.compacted.since.IsZero() || w.compacted.revision != revision {
		w.compacted = compaction{revision: revision, current: current, since: w.now}
	}
	w.add(monitor.Float("etcd/compaction/unchanged", w.now.Sub(w.compacted.since).Seconds()))
	w.add(monitor.Float("etcd/compaction/writes", current-w.compacted.current))
}

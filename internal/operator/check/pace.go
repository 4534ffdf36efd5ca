package check

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

// next takes out what is to be written now, the most urgent first, and no more than this replica's part of the
// paces allows. A namespace that has had more than its share comes after those that have not: heartbeats of the
// others must not wait because all Checks of one turn to and fro.
func (w *writes) next(now time.Time, replicas int) []types.UID {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.share(now, replicas)
	may := map[bool]bool{false: w.pace.TokensAt(now) >= 1, true: w.firsts.TokensAt(now) >= 1}
	type wanting struct {
		want

		uid types.UID
		// over is how much more than its share the namespace has had, beyond what may be written at once.
		over float64
	}
	var ready []wanting
	for uid, wanted := range w.wanted {
		if may[wanted.first] && !wanted.from.After(now) {
			ready = append(ready, wanting{wanted, uid, max(0, w.spent[wanted.namespace]-writeBurst)})
		}
	}
	slices.SortFunc(ready, func(a, b wanting) int {
		return cmp.Or(cmp.Compare(a.over, b.over), cmp.Compare(b.urgency, a.urgency), a.from.Compare(b.from))
	})
	var taken []types.UID
	for _, wanted := range ready {
		pace, cost := w.pace, 1.0
		if wanted.first {
			pace, cost = w.firsts, writesPerSecond/float64(firstsPerSecond)
		}
		if !pace.AllowN(now, 1) {
			continue
		}
		w.spent[wanted.namespace] += cost
		delete(w.wanted, wanted.uid)
		taken = append(taken, wanted.uid)
	}
	return taken
}

// share sets this replica's part of the paces, and takes from what namespaces have spent their share of the time since
// the look before.
func (w *writes) share(now time.Time, replicas int) {
	for pace, all := range map[*rate.Limiter]rate.Limit{w.pace: writesPerSecond, w.firsts: firstsPerSecond} {
		if limit := all / rate.Limit(replicas); limit != pace.Limit() {
			pace.SetLimitAt(now, limit)
		}
	}
	namespaces := map[string]bool{}
	for _, wanted := range w.wanted {
		namespaces[wanted.namespace] = true
	}
	share := max(0, now.Sub(w.looked).Seconds()) * float64(w.pace.Limit()) / float64(max(1, len(namespaces)))
	w.looked = now
	for namespace, spent := range w.spent {
		if spent <= share {
			delete(w.spent, namespace)
		} else {
			w.spent[namespace] = spent - share
		}
	}
}

// again takes note of a write that has to be made again upon another's: it counts as one more.
func (w *writes) again(now time.Time, namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace.ReserveN(now, 1)
	w.spent[namespace]++
}

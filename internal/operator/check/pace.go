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
	if w.pace.TokensAt(now) < 1 && w.firsts.TokensAt(now) < 1 {
		return nil
	}
	var ready []types.UID
	for uid, wanted := range w.wanted {
		if !wanted.from.After(now) {
			ready = append(ready, uid)
		}
	}
	slices.SortFunc(ready, func(a, b types.UID) int {
		this, that := w.wanted[a], w.wanted[b]
		return cmp.Or(
			cmp.Compare(max(0, w.spent[this.namespace]-writeBurst), max(0, w.spent[that.namespace]-writeBurst)),
			cmp.Compare(that.urgency, this.urgency), this.from.Compare(that.from),
		)
	})
	return slices.DeleteFunc(ready, func(uid types.UID) bool {
		wanted := w.wanted[uid]
		pace, cost := w.pace, 1.0
		if wanted.first {
			pace, cost = w.firsts, writesPerSecond/float64(firstsPerSecond)
		}
		if !pace.AllowN(now, 1) {
			return true
		}
		w.spent[wanted.namespace] += cost
		delete(w.wanted, uid)
		return false
	})
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

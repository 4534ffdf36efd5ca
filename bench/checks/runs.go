package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// between is how many runs were seen to begin from one moment to another.
func (k *kubelet) between(from, to time.Time) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, runs := range k.runs {
		for _, r := range runs {
			if r.created.After(from) && r.created.Before(to) {
				n++
			}
		}
	}
	return n
}

// print says how punctual runs were, and whether any was lost or done twice.
func (k *kubelet) print(out io.Writer, from, to time.Time, checks int, o options) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var late, reports []time.Duration
	seen, unreported, doubled, missed := 0, 0, 0, 0
	for _, runs := range k.runs {
		ids := map[string]bool{}
		for i, r := range runs {
			if ids[r.id] {
				doubled++
			}
			ids[r.id] = true
			if i > 0 && r.created.After(from) && r.created.Before(to) {
				gap := r.created.Sub(runs[i-1].created)
				late = append(late, gap-o.interval)
				if gap < o.interval/2 {
					doubled++
				}
				// A lost replica's checks go on within 15 s.
				if gap > o.interval+20*time.Second {
					missed++
				}
			}
			if r.created.Before(from) || r.created.After(to.Add(-o.work-time.Second)) {
				continue
			}
			seen++
			if r.report == 0 {
				unreported++
			} else {
				reports = append(reports, r.report)
			}
		}
	}
	ideal := float64(checks) * float64(to.Sub(from)) / float64(o.interval)
	fmt.Fprintf(out, "runs %d (ideal %.0f); lost: %d begun more than 20 s late, %d whose report nobody took; doubled: %d\n", seen, ideal, missed, unreported, doubled)
	fmt.Fprintf(out, "begun later than due  %s\n", quantiles(late))
	fmt.Fprintf(out, "report taken within   %s\n", quantiles(reports))
}

func quantiles(times []time.Duration) string {
	if len(times) == 0 {
		return "(none)"
	}
	slices.Sort(times)
	at := func(q float64) time.Duration {
		return times[int(q*float64(len(times)-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, max %s", at(0.5), at(0.99), at(1))
}

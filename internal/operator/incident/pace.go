package incident

import "time"

const (
	// respite is how many times as long as the processor time of a diagnosis there is a pause after it, so
	// that a cluster in which everything changes all the time costs 0.4 of a core.
	respite = 1.5
	// soonest is the least pause between two diagnoses: what changes together is judged together.
	soonest = 200 * time.Millisecond
	// latest is the longest pause: Leases run out and findings grow old enough without any change. A
	// diagnosis that takes long is made less often.
	latest        = 10 * time.Second
	latestRespite = 15
	// lingering is the pause where an incident waits to be seen to be gone.
	lingering = 3 * time.Second
)

// pace says how long to pause after a diagnosis that cost some processor time: at least, if there is a
// change, and at most, if there is none. Time by the clock would not do: a diagnosis waits for answers, and
// for processors that others use.
func pace(cost time.Duration, wanted bool) (least, most time.Duration) {
	least = max(soonest, time.Duration(respite*float64(cost)))
	most = max(latest, latestRespite*cost)
	if wanted {
		most = max(lingering, least)
	}
	return least, most
}

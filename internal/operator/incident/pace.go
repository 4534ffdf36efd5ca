package incident

import "time"

const (
	// respite is how many times as long as a diagnosis took there is a pause after it, so that a cluster in which everything changes all
	// the time costs less than half a core, garbage collection and watching included.
	respite = 2
	// soonest is the least pause between two diagnoses: what changes together is judged together.
	soonest = 200 * time.Millisecond
	// latest is the longest pause: Leases run out and findings grow old enough without any change. A
	// diagnosis that takes long is made less often.
	latest        = 10 * time.Second
	latestRespite = 15
	// lingering is the pause where an incident waits to be seen to be gone.
	lingering = 3 * time.Second
)

// pace says how long to pause after a diagnosis that took some time, without waiting for answers: at least, if there is a change, and
// at most, if there is none.
func pace(took time.Duration, wanted bool) (least, most time.Duration) {
	least = max(soonest, respite*took)
	most = max(latest, latestRespite*took)
	if wanted {
		most = max(lingering, least)
	}
	return least, most
}

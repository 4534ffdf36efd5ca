package kuberhealthy

import "time"

// Status is what status documents and metrics tell of, at one moment.
type Status struct {
	// Entries of all checks and jobs of both APIs, in any order.
	Entries []Entry
	// Standing of the replica that answers.
	Standing Standing
	// Metadata that the configuration adds to documents (stateMetadata).
	Metadata map[string]string
	// Now is the time that verdicts are judged by.
	Now time.Time
}

// Standing is what a replica is among the replicas that share the checks.
type Standing struct {
	// Master is the pod that documents name as the current master. All replicas share the work, so it
	// is the one that Kuberhealthy 2 would have chosen too: the first, by name, of those that live.
	Master string
	// Leading tells that this replica is the master and may begin runs. Exactly one replica leads where
	// checks are run at all, and none where no check can be begun.
	Leading bool
	// Able tells that this replica can do its share: it sees the cluster, and it holds its own Lease.
	Able bool
	// Notes say what keeps checks from being run, a sentence each: another operator runs them, say.
	Notes []string
}

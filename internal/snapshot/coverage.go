package snapshot

import "time"

// State says how far a kind was read.
type State string

// The states of a kind.
const (
	// NotCollected: nobody tried to read it.
	NotCollected State = "not collected"
	// Complete: every object was read.
	Complete State = "complete"
	// Partial: reading began and did not end, or covers one namespace only.
	Partial State = "partial"
	// Forbidden: the API server refused it to this user.
	Forbidden State = "forbidden"
	// Failed: it could not be read for another reason.
	Failed State = "failed"
	// NotServed: the cluster has no such kind, so it has no such objects.
	NotServed State = "not served"
)

// Coverage says how far a kind was read, when, and why not further.
type Coverage struct {
	// State of the kind.
	State State `json:"state"`
	// Reason in the words of whoever refused or failed; empty when Complete.
	Reason string `json:"reason,omitempty"`
	// Namespace to which reading was confined; empty means all.
	Namespace string `json:"namespace,omitempty"`
	// ReadAt is when reading began, by the snapshot's clock.
	ReadAt time.Time `json:"readAt,omitzero"`
	// FromCache marks an answer from the API server's watch cache, given because a quorum read
	// failed: it survives a dead etcd and may be old.
	FromCache bool `json:"fromCache,omitempty"`
}

// Known tells whether absence from the kind is absence from the cluster.
func (c Coverage) Known() bool { return c.State == Complete || c.State == NotServed }

// Readable tells whether there is anything to look at: all of it or a part.
func (c Coverage) Readable() bool { return c.Known() || c.State == Partial }

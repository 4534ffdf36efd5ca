package shard

import (
	"github.com/cespare/xxhash/v2"
	"k8s.io/apimachinery/pkg/types"
)

// owner is the member that scores highest for the UID; of equal ones the first. Members must be sorted,
// so that every replica finds the same.
func owner(uid types.UID, members []string) string {
	var best string
	var highest uint64
	for i, m := range members {
		if s := score(uid, m); i == 0 || s > highest {
			best, highest = m, s
		}
	}
	return best
}

// score is the weight of a member for a UID: each pair has its own, so that taking a member away
// changes no order among the rest (Thaler and Ravishankar, "Using name-based mappings to increase hit
// rates", 1998).
func score(uid types.UID, member string) uint64 {
	var space [300]byte // a UID has 36 bytes and a pod's name 253 at most
	b := append(space[:0], uid...)
	b = append(b, '/')
	b = append(b, member...)
	return xxhash.Sum64(b)
}

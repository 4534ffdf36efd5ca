// Package record keeps CheckRecords: the bounded history of every check, in the cluster.
//
// The replica that owns a check is told of its runs, and writes its record when its verdict changes,
// when it fails otherwise than before, and else every few minutes; never for each run. What a record
// holds is read once, when a check is first told of; after that memory goes before the cluster, and a
// write that meets another replica's is made again upon what that one wrote. What cannot be written is
// kept, within bounds, until it can be.
//
// A record lies beside its check, is owned by it and so goes with it, and is called
// <kind>-<name of the check>, where kind is the singular of the check's resource (Name).
package record

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/history"
)

// The rhythm of writes. The first bounds how much of a history a kill may cost, the second what a check
// that flaps may cost.
const (
	// CheckpointEvery is the time from one write to the next of a check whose runs end as before, give
	// or take a fifth. It is longer where there are so many checks that more than checkpointsPerSecond
	// would be written.
	CheckpointEvery = 5 * time.Minute
	// Apart is the least time from one write of a record to the next.
	Apart = 30 * time.Second

	checkpointsPerSecond = 5
	// writesPerSecond bounds all writes of all replicas together but the last ones: when everything fails at
	// once, histories wait. writeBurst is how many of them one replica makes at once.
	writesPerSecond = 6
	writeBurst      = 20
)

// Check names a check of any API.
type Check struct {
	APIVersion, Kind string
	types.NamespacedName
	UID types.UID
}

// Run is one run of a check that ended.
type Run struct {
	history.Run
	Check Check
	// Thresholds by which the verdict follows.
	Thresholds history.Thresholds
	// Anew tells that what was known before says nothing about the verdict: the check was changed, say.
	Anew bool
}

// Options of a Keeper. All are needed.
type Options struct {
	// Client reads and writes CheckRecords; nothing of them is cached.
	Client client.Client
	// Served tells whether the API server has CheckRecords.
	Served func() bool
	// Owns tells whether this replica owns a check.
	Owns func(types.UID) bool
	// Replicas is how many of them share the checks, this one among them: they share what may be written.
	Replicas func() int
	// Exists tells whether there is still such a check; where nobody can tell, there is. It is called for each that is to
	// be written, and is to answer from memory.
	Exists func(context.Context, Check) bool
	// Self is the name of this replica.
	Self  string
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Keeper keeps the records of the checks that this replica owns.
type Keeper struct {
	o    Options
	wake chan struct{}

	// pace of writes.
	pace *rate.Limiter

	mu      sync.Mutex
	entries map[types.UID]*entry
	// failing tells that the newest write failed, and was told of.
	failing bool
}

// New returns a Keeper.
func New(o Options) *Keeper {
	return &Keeper{
		o: o, wake: make(chan struct{}, 1), entries: map[types.UID]*entry{},
		pace: rate.NewLimiter(writesPerSecond, writeBurst),
	}
}

// Ended takes note of a run. It never blocks.
func (k *Keeper) Ended(run Run) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[run.Check.UID]
	if e == nil {
		e = &entry{}
		k.entries[run.Check.UID] = e
	}
	if e.add(run, k.o.Clock.Now(), k.checkpointEvery()) {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// checkpointEvery is the time from one write to the next where nothing changes.
func (k *Keeper) checkpointEvery() time.Duration {
	return max(CheckpointEvery, time.Duration(len(k.entries)*k.replicas())*time.Second/checkpointsPerSecond)
}

// replicas is how many share what may be written.
func (k *Keeper) replicas() int { return max(1, k.o.Replicas()) }

// Streak is how many runs in a row ended as the newest did that is recorded of a check; zero where
// nothing is recorded. It asks the API server.
func (k *Keeper) Streak(ctx context.Context, check Check) (int32, error) {
	if !k.o.Served() {
		return 0, nil
	}
	record, err := k.get(ctx, check)
	if record == nil || record.Check.UID != check.UID {
		return 0, err
	}
	return record.Streak, nil
}

// longestName of an object whose name is a DNS subdomain
// (k8s.io/apimachinery/pkg/util/validation, DNS1123SubdomainMaxLength).
const longestName = 253

// singulars of the resources of checks, by kind.
var singulars = map[string]string{
	"Check":             "check",
	"KuberhealthyCheck": "khcheck",
	"KuberhealthyJob":   "khjob",
	"HealthCheck":       "healthcheck",
}

// Name is what the record of a check is called: the singular of its resource, which holds no dash, a
// dash, and the check's name; so the records of two checks never share a name. A name that is too long
// for that ends in a hash of itself.
func Name(kind, check string) string {
	singular, known := singulars[kind]
	if !known {
		singular = strings.ToLower(kind)
	}
	name := singular + "-" + check
	if len(name) <= longestName {
		return name
	}
	hash := fmt.Sprintf("-%016x", xxhash.Sum64String(check))
	return strings.TrimRight(name[:longestName-len(hash)], "-.") + hash
}

// Len is how many checks are kept in memory.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.entries)
}

package run

import (
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

// Options are what an Engine works with. All are needed but where they say otherwise.
type Options struct {
	// Client writes, and reads past the caches the few times that a cache cannot be believed. Its scheme
	// has corev1 and both versions of Kuberhealthy's kinds.
	Client client.Client
	// Cache is what everything else is read from. It is made with ByObject, so that it holds checker pods
	// alone. Whoever makes it starts it; Run waits for it.
	Cache cache.Cache
	// Owns tells whether this replica runs the check with a UID.
	Owns func(types.UID) bool
	// Served tells whether the API server has a kind now.
	Served func(schema.GroupVersionKind) bool
	// Adopted tells whether checks may be run at all: it is false while somebody else's operator is alive
	// and runs them.
	Adopted func() bool
	// Reachable tells since when the API server has answered this replica without a break; ok is false
	// while it does not. Nil stands for what the engine's own requests show.
	Reachable func() (since time.Time, ok bool)
	// Self is the name of the operator's pod, which records name as their writer.
	Self string
	// Settings that hold now.
	Settings func() kuberhealthy.Settings
	// Logs reads what a failed checker pod said last; nil reads nothing.
	Logs checkerpod.Logs
	// Witness is asked about pods that do not start; nil is not.
	Witness checkerpod.Witness
	// Events are told of failures and recoveries; nil tells nobody.
	Events events.EventRecorder
	// Outcomes is told of ended runs; nil tells nobody.
	Outcomes Outcomes
	// Metrics counts runs; nil counts none.
	Metrics *kuberhealthy.RunMetrics
	// Clock, and Log.
	Clock clock.WithTicker
	Log   *slog.Logger
	// Workers is how many checks are looked after at once; zero stands for 16.
	Workers int
	// StartsPerSecond bounds how many runs this replica begins; zero stands for 50, which is enough to
	// run 2,000 checks a minute with some to spare for catching up.
	StartsPerSecond float64
}

// Outcomes is told, by the replica that owns the check, how runs ended. It is told of each run at least
// once: a run that ended while a check changed hands may be told of again, with the same Check.UID and
// Run.Started, by the new owner.
type Outcomes interface {
	// Ended must not block: it is called by whoever looks after the next checks.
	Ended(Outcome)
}

// Outcome is how a run ended.
type Outcome struct {
	Check kuberhealthy.Check
	// Run that ended. Its ID may be empty: HealthChecks keep none of ended runs.
	Run kuberhealthy.Run
	// EndedAt is when it did.
	EndedAt time.Time
	// OK tells that it reported that all is well.
	OK bool
	// Reason that it is not OK; empty where it is.
	Reason checkerpod.Reason
	// Message says in a sentence or two what was seen; empty where the run is OK.
	Message string
	// Errors as they are recorded in the check's object.
	Errors []string
	// Duration from the start to the report, or to the end without one.
	Duration time.Duration
	// Node that the pod ran on, and the pod; empty where there is none.
	Node, Pod string
	// LogTail is the redacted end of the checker's log, of a run that is not OK: at most 8 KiB of whole
	// lines.
	LogTail string
}

// ByObject is what Options.Cache must hold, and hold only in part: checker pods without what is not
// needed of them.
func ByObject() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}: {Label: checkerPods(), Transform: trimPod},
	}
}

package check

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/record"
)

// Kind of the objects.
const Kind = "Check"

// Ask asks questions, each within the timeout, and gives every answer as it comes, one after the other: answers may
// be large, and are not to be held until all are there.
type Ask func(ctx context.Context, questions []plan.Question, timeout time.Duration, tell func(plan.Answer))

// Pods makes runs in pods (podrun.Runner).
type Pods interface {
	// Run makes the run of a slot, and blocks until it has ended. Of one slot there is one run. A podTemplate is read
	// anew: the check tells no more of it than that there is one, and its ServiceAccount.
	Run(ctx context.Context, check *v1alpha1.Check, slot time.Time, timeout time.Duration) (plan.Result, error)
	// Leftovers are the runs that somebody else began, the oldest first.
	Leftovers(ctx context.Context, check *v1alpha1.Check) ([]podrun.Leftover, error)
	// Clear removes the pods of runs that are recorded.
	Clear(ctx context.Context, check *v1alpha1.Check) error
}

// Records keeps the histories.
type Records interface {
	// Ended takes note of a run, and does not block.
	Ended(record.Run)
	// Streak is the length of the newest streak that is recorded.
	Streak(ctx context.Context, check record.Check) (int32, error)
}

// Consequences is told of each run of a check that this replica owns and that asked something. It must not
// block.
type Consequences interface {
	Observe(check *v1alpha1.Check, at time.Time, results []plan.Result)
	// Forget tells that this replica does not run the check any more.
	Forget(types.UID)
}

// Options are what a Controller works with. All are needed but where they say otherwise.
type Options struct {
	// Checks reads and writes Checks. They are read as they are, without their types: a podTemplate may be
	// anything.
	Checks dynamic.NamespaceableResourceInterface
	// Namespace whose Checks are run; empty stands for all.
	Namespace string
	// Served tells whether the API server has the kind now.
	Served func() bool
	// Owns tells whether this replica owns a check; Held whether it does, or did when it last could keep its
	// Lease alive.
	Owns, Held func(types.UID) bool
	// Replicas is how many of them share the Checks, this one among them: they share what may be written.
	Replicas func() int
	// Prepare is called again and again from when there is something to run until it returns true: what
	// Resolve reads from is filled. It must not block.
	Prepare func() bool

	// Resolve says what a run asks; runs of a check are counted. Errors are *plan.Refusal, *plan.Empty, and
	// others that pass.
	Resolve func(ctx context.Context, check *v1alpha1.Check, run uint64) ([]plan.Question, error)
	// Here asks from where this replica is, and Nodes from all nodes.
	Here, Nodes Ask
	// Judge says what an answer comes to.
	Judge func(spec *v1alpha1.CheckSpec, answer plan.Answer) plan.Result
	// Confirm asks from other places than Here, so many at least where there are.
	Confirm func(ctx context.Context, questions []plan.Question, timeout time.Duration, atLeast int) []plan.Answer
	// Pods makes the runs that are pods.
	Pods Pods
	// Consequences may be nil.
	Consequences Consequences
	// Records keeps what the runs came to.
	Records Records
	// Events are told of transitions; nil tells nobody.
	Events events.EventRecorder

	// Self is the name of this replica's pod.
	Self  string
	Clock clock.WithTicker
	Log   *slog.Logger
}

func (o Options) validate() error {
	for name, missing := range map[string]bool{
		"Checks": o.Checks == nil, "Served": o.Served == nil, "Owns": o.Owns == nil, "Held": o.Held == nil, "Replicas": o.Replicas == nil, "Prepare": o.Prepare == nil,
		"Resolve": o.Resolve == nil, "Here": o.Here == nil, "Nodes": o.Nodes == nil, "Judge": o.Judge == nil, "Pods": o.Pods == nil, "Confirm": o.Confirm == nil,
		"Records": o.Records == nil, "Self": o.Self == "", "Clock": o.Clock == nil, "Log": o.Log == nil,
	} {
		if missing {
			return fmt.Errorf("making the controller of Checks: the option %s is missing", name)
		}
	}
	return nil
}

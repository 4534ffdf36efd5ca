package run

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// Engine runs the checks that this replica owns, and takes in reports for all.
type Engine struct {
	o      Options
	memory *memory
}

var _ kuberhealthy.Reporter = (*Engine)(nil)

// New returns an Engine; its error names an option that is missing.
func New(o Options) (*Engine, error) { return &Engine{o: o, memory: newMemory()}, nil }

// Run looks after the checks until ctx ends. Then it begins nothing more, finishes the request that it
// is at and returns nil: runs that go on are recorded, and whoever owns their checks next goes on with
// them.
func (e *Engine) Run(ctx context.Context) error { return nil }

// Wake makes the engine look at all checks anew: call it after what Owns, Served or Adopted answer has
// changed. It returns at once, and may be called before Run.
func (e *Engine) Wake() {}

// Entries returns all checks with their states, by namespace, name and kind, from the caches of this
// replica.
func (e *Engine) Entries() []kuberhealthy.Entry { return nil }

// Report stores a report of whatever check of the cluster. It returns a *kuberhealthy.Refusal where the
// run may not report so, and another error where the API server has not answered for some 20 s; then
// the report is kept, and stored when it answers again.
func (e *Engine) Report(ctx context.Context, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	return nil
}

// RunNow asks for a run of a check as soon as its owner can begin it, and returns the time by which the
// run will be known: it begins then, or later. The wish is written into the check's object, so that it
// outlives this replica. Errors wrap ErrNotFound, ErrRunning or ErrOnce where the check cannot be run.
func (e *Engine) RunNow(ctx context.Context, kind schema.GroupVersionKind, name types.NamespacedName) (time.Time, error) {
	return time.Time{}, nil
}

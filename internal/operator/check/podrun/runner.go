package podrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// requestWithin bounds one request to the API server.
const requestWithin = 15 * time.Second

// Options are what a Runner works with. All are needed but where they say otherwise.
type Options struct {
	// Client writes pods, and reads past the cache the few times that a cache cannot be believed.
	Client client.Client
	// Cache holds at least the pods with the label v1alpha1.LabelRunOf, and of them what run.ByObject keeps.
	// Whoever makes it starts it.
	Cache cache.Cache
	// Image of the checker, which plays scenarios; where it is empty, all that are synthetic are refused.
	Image string
	// Logs reads what a failed pod said last; nil reads nothing.
	Logs checkerpod.Logs
	// Witness is asked about pods that do not start, and about nodes of pods that do not end; nil is not.
	Witness checkerpod.Witness
	Clock   clock.WithTicker
	Log     *slog.Logger
}

// Runner runs pods. It may be used by many at once.
type Runner struct {
	o       Options
	watcher *watcher
}

// New returns a Runner; its error names an option that is missing.
func New(o Options) (*Runner, error) {
	for name, missing := range map[string]bool{
		"Client": o.Client == nil, "Cache": o.Cache == nil, "Clock": o.Clock == nil, "Log": o.Log == nil,
	} {
		if missing {
			return nil, fmt.Errorf("making the runner of checks' pods: the option %s is missing", name)
		}
	}
	return &Runner{o: o, watcher: newWatcher(o.Cache)}, nil
}

// slotRun is one run.
type slotRun struct {
	*Runner

	check   *v1alpha1.Check
	slot    time.Time
	timeout time.Duration
	// pod's name.
	pod types.NamespacedName
	sub *subscription
}

// Run runs the check's pod for a slot to its end, or goes on with the pod that was made for the slot before, by
// this replica or another. Pods of other slots that are still at work are waited for first: no two of a check run at
// once. It returns when the pod has ended, or has been given up for its timeout, and leaves it for Clear.
//
// The error is a *plan.Refusal where the check cannot be run until somebody changes something. It may be something
// of the namespace (a ServiceAccount, a quota), so that the next slot is worth a try. Any other error wraps the
// context's: the run goes on, and whoever calls Run next for the slot learns how it ends.
func (r *Runner) Run(ctx context.Context, check *v1alpha1.Check, slot time.Time, timeout time.Duration) (plan.Result, error) {
	one := &slotRun{
		Runner: r, check: check, slot: slot, timeout: timeout,
		pod: types.NamespacedName{Namespace: check.Namespace, Name: PodName(check, slot)},
	}
	var leave func()
	one.sub, leave = r.watcher.subscribe(check.UID)
	defer leave()
	result, err := one.run(ctx)
	if err == nil {
		return result, nil
	}
	if refusal, ok := errors.AsType[*plan.Refusal](err); ok {
		return plan.Result{}, refusal
	}
	if ctx.Err() != nil {
		return plan.Result{}, fmt.Errorf("running the pod %s of a check: %w", one.pod, context.Cause(ctx))
	}
	return one.unknown(err), nil
}

// unknown is the result of a run that nobody could be asked in.
func (s *slotRun) unknown(err error) plan.Result {
	f := checkerpod.Failure{Reason: NotRun, Message: checkerpod.Clean(stage.Refused(err).Error())}
	if why, ok := errors.AsType[*unasked](err); ok {
		f = why.failure
	} else if checkerpod.Unanswered(err) {
		f.Reason = Unreachable
	}
	return s.result(v1alpha1.ResultUnknown, f, 0)
}

// run finds the pod of the slot, or makes it, and waits for its end.
func (s *slotRun) run(ctx context.Context) (plan.Result, error) {
	pods, err := s.pods(ctx, s.check)
	if err != nil {
		return plan.Result{}, err
	}
	for _, pod := range pods {
		if pod.Name == s.pod.Name {
			return s.await(ctx, pod, s.deadlineOf(pod))
		}
	}
	if err := s.awaitOthers(ctx, pods); err != nil {
		return plan.Result{}, err
	}
	if err := s.Clear(ctx, s.check); err != nil {
		// What is left of it is left for the next run; this one can be made all the same.
		s.o.Log.Debug("pods of earlier runs are left behind", "check", s.pod.Namespace+"/"+s.check.Name, "error", err)
	}
	if s.check.DeletionTimestamp != nil {
		return plan.Result{}, nobody(Terminating, "the check is being deleted")
	}
	pod, deadline, err := s.begin(ctx)
	if err != nil {
		return plan.Result{}, err
	}
	return s.await(ctx, pod, deadline)
}

// skew is by how much the clocks of whoever made a pod and of this replica may differ before a run that goes on is
// taken for one that is late.
const skew = 30 * time.Second

// deadlineOf is when a pod that was found is given up: later than whoever made it would, as the kubelet stops it in
// time, and never later than its whole time from now.
func (s *slotRun) deadlineOf(pod *corev1.Pod) time.Time {
	return earlier(pod.CreationTimestamp.Add(s.timeout+skew), s.o.Clock.Now().Add(s.timeout))
}

// unasked is why nobody could be asked.
type unasked struct{ failure checkerpod.Failure }

// Error implements error.
func (u *unasked) Error() string { return u.failure.Message }

// nobody says that nobody could be asked.
func nobody(reason checkerpod.Reason, format string, args ...any) error {
	return &unasked{checkerpod.Failure{Reason: reason, Message: checkerpod.Clean(fmt.Sprintf(format, args...))}}
}

// The reasons that this package adds to those of checkerpod.
const (
	// Unreachable: the API server did not answer, so that no pod could be made, or its end not be seen.
	Unreachable checkerpod.Reason = v1alpha1.ReasonAPIServerUnreachable
	// Terminating: the namespace, or the check, is being deleted.
	Terminating checkerpod.Reason = v1alpha1.ReasonTerminating
	// NotRun: the pod could not be run, for a reason that only its message names.
	NotRun checkerpod.Reason = v1alpha1.ReasonNotRun
	// Unable: the scenario could not look, for options or rights.
	Unable checkerpod.Reason = v1alpha1.ReasonUnable
)

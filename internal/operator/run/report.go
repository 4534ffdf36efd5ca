package run

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

const (
	// arriveWithin is for how long the cache may be behind a report (Kuberhealthy 2 waits a minute): the
	// pod was made before it, and what it was made for before that.
	arriveWithin = 10 * time.Second
	// storeWithin is for how long a report's sender is kept waiting.
	storeWithin = 20 * time.Second
	// storeTries is how often a report is written that others write before.
	storeTries = 5
)

// errNotReady is why no report is taken while the caches are not filled or may be behind: a refusal is
// final for those who send reports.
var errNotReady = errors.New("not all checks have been read yet")

// Report stores a report of whatever check of the cluster. It returns a *kuberhealthy.Refusal where the
// run may not report so, and another error where the API server has not answered for some 20 s; then
// the report is kept, and stored when it answers again.
func (e *Engine) Report(ctx context.Context, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	received := e.o.Clock.Now()
	k, runID, err := e.identify(ctx, from)
	if err != nil {
		return err
	}
	// A report is stored although its sender gives up: it may not try again.
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer cancel()
	one := &reportOf{key: k, run: runID, api: from.API, report: report, received: received, done: make(chan struct{})}
	err = e.store(storing, one)
	if err == nil || !unstored(err) {
		return err
	}
	if checkerpod.Unanswered(err) && e.reach.failed(e.o.Clock.Now()) {
		e.o.Log.Warn("the API server does not answer: reports are kept until it does", "error", err)
	}
	if !e.pending.keep(one) {
		return fmt.Errorf("storing the report of %s, and too many others wait: %w", k, err)
	}
	timer := e.o.Clock.NewTimer(storeWithin)
	defer timer.Stop()
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
		return fmt.Errorf("storing the report of %s: %w", k, ctx.Err())
	case <-timer.C():
		return fmt.Errorf("storing the report of %s: %w", k, err)
	}
}

// identify finds the check and the run that a report is about.
func (e *Engine) identify(ctx context.Context, from kuberhealthy.Origin) (key, string, error) {
	if !e.filled.Load() {
		return key{}, "", errNotReady
	}
	var refusal error
	if from.RunID != "" {
		k, err := e.await(ctx, from.RunID, func() (key, bool, error) { return e.byRun(ctx, from.RunID) })
		if err != nil || k != (key{}) {
			return k, from.RunID, err
		}
		if now := e.o.Clock.Now(); now.Sub(e.reach.since(now)) < patience && !e.reach.since(now).IsZero() {
			return key{}, "", errNotReady
		}
		refusal = kuberhealthy.Unknown(from.API, from.RunID)
	}
	if from.API != kuberhealthy.V2 {
		return key{}, "", orElse(refusal, kuberhealthy.Unknown(from.API, ""))
	}
	address := from.Address.Unmap()
	var run string
	look := func() (key, bool, error) {
		k, id, err := e.byAddress(ctx, address)
		run = id
		return k, id != "", err
	}
	k, found, err := look()
	if !found && err == nil && refusal == nil {
		k, err = e.await(ctx, address.String(), look)
	}
	if err != nil || k != (key{}) {
		return k, run, err
	}
	return key{}, "", orElse(refusal, &kuberhealthy.Refusal{
		Status:  http.StatusBadRequest,
		Message: "no checker pod that runs has the address " + address.String() + ", or several have: send the value of KH_RUN_UUID in the header kh-run-uuid",
	})
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// await looks for something until it is there, and a little longer than a cache is behind.
func (e *Engine) await(ctx context.Context, name string, look func() (key, bool, error)) (key, error) {
	arrived, done := e.arrivals.wait(name)
	defer done()
	timer := e.o.Clock.NewTimer(arriveWithin)
	defer timer.Stop()
	for {
		k, found, err := look()
		if err != nil || found {
			return k, err
		}
		select {
		case <-arrived:
		case <-timer.C():
			return key{}, nil
		case <-ctx.Done():
			return key{}, fmt.Errorf("looking for the run of a report: %w", ctx.Err())
		}
	}
}

// byRun finds the check whose record names a run.
func (e *Engine) byRun(ctx context.Context, run string) (key, bool, error) {
	if k, ok := e.memory.recorder(run); ok {
		return e.shared(ctx, k)
	}
	if e.kinds.ready(healthCheckKind) {
		var list khv2.HealthCheckList
		err := e.o.Cache.List(ctx, &list, client.MatchingFields{indexRunID: run}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return key{}, false, fmt.Errorf("looking for a run among HealthChecks: %w", err)
		}
		if len(list.Items) > 0 {
			return key{kuberhealthy.KindHealthCheck, client.ObjectKeyFromObject(&list.Items[0])}, true, nil
		}
	}
	if !e.kinds.ready(stateKind) {
		return key{}, false, nil
	}
	var list khv1.KuberhealthyStateList
	err := e.o.Cache.List(ctx, &list, client.MatchingFields{indexRunID: run}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return key{}, false, fmt.Errorf("looking for a run among KuberhealthyStates: %w", err)
	}
	if len(list.Items) == 0 {
		return key{}, false, nil
	}
	return e.shared(ctx, reference{stateKind, client.ObjectKeyFromObject(&list.Items[0])})
}

// shared tells whose run it is that a record names: a check and a job may share it.
func (e *Engine) shared(ctx context.Context, ref reference) (key, bool, error) {
	if ref.kind == healthCheckKind {
		return key{kuberhealthy.KindHealthCheck, ref.NamespacedName}, true, nil
	}
	record, err := e.get(ctx, stateKind, ref.NamespacedName)
	if err != nil || record == nil {
		return key{}, false, err
	}
	of := types.UID(record.GetAnnotations()[v1alpha1.AnnotationRunOf])
	var either key
	for _, kind := range []string{kuberhealthy.KindCheck, kuberhealthy.KindJob} {
		k := key{kind, ref.NamespacedName}
		if !e.kinds.ready(k.gvk()) {
			continue
		}
		object, err := e.get(ctx, k.gvk(), k.NamespacedName)
		if err != nil {
			return key{}, false, err
		}
		switch {
		case object == nil:
		case object.GetUID() == of:
			return k, true, nil
		case of == "" && either == (key{}):
			either = k
		}
	}
	return either, either != (key{}), nil
}

// byAddress finds the check whose pod has an address. Of several, as on a node's own network, none is
// taken: it would be a guess.
func (e *Engine) byAddress(ctx context.Context, address netip.Addr) (key, string, error) {
	var list corev1.PodList
	err := e.o.Cache.List(ctx, &list, client.MatchingFields{indexAddress: address.String()}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return key{}, "", fmt.Errorf("looking for a pod by its address: %w", err)
	}
	pods := slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool {
		return checkerpod.Done(&pod) || pod.Labels[khv1.LabelRunID] == ""
	})
	if len(pods) != 1 {
		return key{}, "", nil
	}
	k, ok := ownerKey(&pods[0])
	if !ok {
		return key{}, "", nil
	}
	return k, pods[0].Labels[khv1.LabelRunID], nil
}

// store records a report, again where others have written in between.
func (e *Engine) store(ctx context.Context, one *reportOf) error {
	s, err := e.subject(ctx, one.key)
	for try := 0; ; try++ {
		switch {
		case err != nil:
			return err
		case s == nil:
			return kuberhealthy.Unknown(one.api, one.run)
		}
		if err := kuberhealthy.Accept(s.check, s.state, one.run, e.inTime(s, one)); err != nil {
			return err
		}
		end := kuberhealthy.End{At: e.o.Clock.Now(), Writer: e.o.Self, Node: e.nodeOf(ctx, s)}
		reported := s.state.Reported(s.check, one.report, end)
		if !s.state.Running && s.state.OK == reported.OK && slices.Equal(s.state.Errors, reported.Errors) {
			return nil // the same once more
		}
		err = e.record(ctx, s, reported)
		if err == nil {
			e.answered()
			e.queue.Add(one.key)
			return nil
		}
		if !outdated(err) || try == storeTries {
			return err
		}
		// Somebody was faster, and the sender waits: the cache is not waited for.
		s, err = e.reread(ctx, one.key)
	}
}

// inTime is when a report counts as received. One that comes after the deadline while the API server
// does not answer, or shortly after, may have been kept from coming in time.
func (e *Engine) inTime(s *subject, one *reportOf) time.Time {
	now := e.o.Clock.Now()
	deadline := s.check.Deadline(s.state.Run)
	since := e.reach.since(now)
	if s.state.Running && !one.received.Before(deadline) && s.state.Run.Started.Before(since) && one.received.Before(since.Add(patience)) {
		return deadline.Add(-1)
	}
	return one.received
}

// nodeOf is the node of the newest run's pod.
func (e *Engine) nodeOf(ctx context.Context, s *subject) string {
	pods, err := e.podsOf(ctx, s.check.UID, s.Namespace)
	if err != nil {
		return ""
	}
	for _, pod := range pods {
		if kuberhealthy.RunIDOf(pod) == s.state.Run.ID {
			return pod.Spec.NodeName
		}
	}
	return ""
}

// reread reads a check past the cache.
func (e *Engine) reread(ctx context.Context, k key) (*subject, error) {
	object := example(k.gvk())
	if err := e.o.Client.Get(ctx, k.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // as subject does
		}
		return nil, fmt.Errorf("reading %s: %w", k, err)
	}
	if k.kind == kuberhealthy.KindHealthCheck {
		return assemble(k, object, nil), nil
	}
	record := &khv1.KuberhealthyState{}
	if err := e.o.Client.Get(ctx, stateName(k.NamespacedName), record); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil //nolint:nilnil // as subject does
		}
		return nil, fmt.Errorf("reading the KuberhealthyState of %s: %w", k, err)
	}
	return assemble(k, object, record), nil
}

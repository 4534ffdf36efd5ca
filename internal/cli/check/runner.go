package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/install"
	"github.com/maek-dev/maek/internal/snapshot"
	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/internal/synthetic/launch"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	// startTime is what a pod may take to be scheduled and started, beyond what its check takes.
	startTime = 2 * time.Minute
	// cleanTime bounds the removal of the namespace.
	cleanTime = 90 * time.Second
	// lifeLabel is on every namespace that is made here, with the age in seconds at which it is nobody's any
	// more: its checks have taken all their time, and so has its removal.
	lifeLabel = "maek.dev/check-run"
	// whyTime bounds the question why a pod has not ended.
	whyTime = 10 * time.Second
	// deniedTime is how long a right that was just granted may be refused: authorizers follow watches.
	deniedTime = 5 * time.Second
	lookEvery  = 250 * time.Millisecond
)

// verdict of one check.
type verdict string

const (
	passed  verdict = "Passed"
	failed  verdict = "Failed"
	unknown verdict = "Unknown"
	// skipped: the cluster lacks what the check is about, and need not have it.
	skipped verdict = "Skipped"
)

// result of one check. It is what -o json prints.
type result struct {
	Name   string  `json:"name"`
	Result verdict `json:"result"`
	// Reason says why a check could not be carried out.
	Reason  string                 `json:"reason,omitempty"`
	Errors  []string               `json:"errors,omitempty"`
	Nodes   []synthetic.NodeResult `json:"nodes,omitempty"`
	Notes   []string               `json:"notes,omitempty"`
	Seconds float64                `json:"seconds"`
}

// runner runs checks as pods.
type runner struct {
	client  client.WithWatch
	image   string
	timeout time.Duration
	// namespace of this run; it owns all that is made in the cluster's scope, so that nothing outlives it.
	namespace *corev1.Namespace
}

func newRunner(cfg *rest.Config, image string, timeout time.Duration) (*runner, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, storagev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("preparing to run checks: %w", err)
		}
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("preparing to run checks: %w", err)
	}
	return &runner{client: c, image: image, timeout: timeout}, nil
}

// runAll runs the tasks, some at once, and removes all that they made. The error tells that none could be
// run.
func (r *runner) runAll(ctx context.Context, tasks []task, parallel int, p *printer) ([]result, error) {
	r.namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "maek-check-",
		Labels: map[string]string{
			lifeLabel: strconv.Itoa(int(r.life(tasks, parallel) / time.Second)), "pod-security.kubernetes.io/enforce": "restricted",
		},
	}}
	if err := r.client.Create(ctx, r.namespace); err != nil {
		return nil, &exit.Error{Code: exit.Unknown, Err: fmt.Errorf("making a namespace for the checks: %w", err)}
	}
	r.removeOld(ctx)
	results := make([]result, len(tasks))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, t := range tasks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			p.begin(t.title)
			results[i] = r.run(ctx, fmt.Sprintf("%s-%d", t.scenario.Name, i), t)
			p.done(results[i])
		})
	}
	wg.Wait()
	// Also after an interruption: nothing is left behind.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	p.begin("removing namespace " + r.namespace.Name)
	if err := r.remove(clean); err != nil {
		left := result{Name: "clean-up", Result: unknown, Reason: err.Error()}
		p.done(left)
		results = slices.Concat(results, []result{left})
	}
	return results, nil
}

// most is how long a task's pod may take, from its start.
func (r *runner) most(t task) time.Duration {
	if r.timeout > 0 {
		return r.timeout + startTime
	}
	return t.scenario.Time + startTime
}

// life is how long all tasks and the removal of what they made may take: some begin when others have ended,
// and the last to begin may be the longest.
func (r *runner) life(tasks []task, parallel int) time.Duration {
	var sum, longest time.Duration
	for _, t := range tasks {
		whole := startTime + r.most(t)
		sum += whole
		longest = max(longest, whole)
	}
	return sum/time.Duration(parallel) + longest + cleanTime
}

// removeOld removes the namespaces of runs that were killed. Ages are by the API server's clock. What cannot
// be listed or removed is left to the next run.
func (r *runner) removeOld(ctx context.Context) {
	var all corev1.NamespaceList
	if err := r.client.List(ctx, &all, client.HasLabels{lifeLabel}); err != nil {
		return
	}
	for i := range all.Items {
		n := &all.Items[i]
		seconds, err := strconv.ParseInt(n.Labels[lifeLabel], 10, 32)
		if err != nil || !n.DeletionTimestamp.IsZero() {
			continue
		}
		if r.namespace.CreationTimestamp.Sub(n.CreationTimestamp.Time) > time.Duration(seconds)*time.Second {
			_ = r.client.Delete(ctx, n, client.Preconditions{UID: &n.UID})
		}
	}
}

// run runs one check under a name that is its own within the namespace.
func (r *runner) run(ctx context.Context, name string, t task) result {
	out := result{Name: t.title, Result: unknown}
	if t.defaultClass {
		switch has, err := r.hasDefaultClass(ctx); {
		case err != nil:
			out.Reason = err.Error()
			return out
		case !has:
			out.Result, out.Reason = skipped, "no StorageClass is the default: claims that name none are not bound"
			return out
		}
	}
	pod, err := r.start(ctx, name, t)
	if err != nil {
		out.Reason = why(ctx, err)
		return out
	}
	return r.watch(ctx, pod, t, out)
}

// watch waits for a pod that was made to end, and judges it.
func (r *runner) watch(ctx context.Context, pod *corev1.Pod, t task, out result) result {
	late := "its pod did not start within " + startTime.String()
	pod, err := r.await(ctx, pod, startTime, started)
	if err == nil {
		late = "its pod did not end in time"
		pod, err = r.await(ctx, pod, r.most(t), ended)
	}
	switch {
	case err == nil:
		return judge(out, pod)
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		asking, cancel := context.WithTimeout(ctx, whyTime)
		defer cancel()
		out.Reason = late + ": it " + stage.WhyNot(asking, r.client, pod)
	default:
		out.Reason = why(ctx, err)
	}
	return out
}

// why says why a check was not carried out.
func why(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "interrupted"
	}
	return err.Error()
}

func (r *runner) hasDefaultClass(ctx context.Context) (bool, error) {
	var classes storagev1.StorageClassList
	if err := r.client.List(ctx, &classes); err != nil {
		return false, fmt.Errorf("looking for a default StorageClass: %w", err)
	}
	for i := range classes.Items {
		if snapshot.IsDefaultClass(&classes.Items[i]) {
			return true, nil
		}
	}
	return false, nil
}

// judge reads what an ended pod left.
func judge(out result, pod *corev1.Pod) result {
	outcome, verdict, err := launch.Read(pod)
	if err != nil {
		out.Reason = err.Error()
		return out
	}
	out.Errors, out.Nodes, out.Notes, out.Seconds = outcome.Errors, outcome.Nodes, outcome.Notes, outcome.Seconds
	switch verdict {
	case launch.Passed:
		out.Result = passed
	case launch.Failed:
		out.Result = failed
	case launch.Unable:
		out.Reason = "it could not look"
	}
	return out
}

// start makes the account, its rights, and the pod.
func (r *runner) start(ctx context.Context, name string, t task) (*corev1.Pod, error) {
	for _, obj := range install.CheckerAccess(r.namespace.Name, name, t.scenario) {
		o, ok := obj.(client.Object)
		if !ok {
			return nil, fmt.Errorf("%T is no object", obj)
		}
		if o.GetNamespace() == "" {
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: r.namespace.Name, UID: r.namespace.UID}})
		}
		if err := r.client.Create(ctx, o); err != nil {
			return nil, fmt.Errorf("giving the check its rights: %w", err)
		}
	}
	var env []corev1.EnvVar
	for _, option := range slices.Sorted(maps.Keys(t.env)) {
		env = append(env, corev1.EnvVar{Name: option, Value: t.env[option]})
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace.Name, Name: name},
		Spec:       launch.Spec(t.scenario, name, r.image, env),
	}
	pod.Spec.ActiveDeadlineSeconds = new(int64(r.most(t) / time.Second))
	var err error
	// The API server may not know of the account yet, which it refuses as forbidden
	// (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount).
	_ = wait.PollUntilContextTimeout(ctx, lookEvery, deniedTime, true, func(ctx context.Context) (bool, error) {
		err = r.client.Create(ctx, pod)
		return !apierrors.IsForbidden(err), nil
	})
	if err != nil {
		return nil, fmt.Errorf("making its pod: %w", err)
	}
	return pod, nil
}

// started tells that a pod's checker has begun, or will not.
func started(pod *corev1.Pod) bool {
	return pod.Status.Phase != corev1.PodPending && pod.Status.Phase != ""
}

// ended tells that a pod has ended.
func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// await waits until something is so of a pod. Where it is not in time, the pod comes with the error, as it
// was seen last.
func (r *runner) await(ctx context.Context, pod *corev1.Pod, within time.Duration, so func(*corev1.Pod) bool) (*corev1.Pod, error) {
	last := pod
	err := wait.PollUntilContextTimeout(ctx, 4*lookEvery, within, true, func(ctx context.Context) (bool, error) {
		now := &corev1.Pod{}
		if err := r.client.Get(ctx, client.ObjectKeyFromObject(pod), now); apierrors.IsNotFound(err) {
			return false, fmt.Errorf("its pod %s was removed by somebody else", pod.Name)
		} else if err != nil {
			return false, nil //nolint:nilerr // the API server may be back in a moment; the context's end is the bound
		}
		last = now
		return so(now), nil
	})
	return last, err
}

// remove deletes the namespace and waits until it is gone.
func (r *runner) remove(ctx context.Context) error {
	var err error
	waited := wait.PollUntilContextCancel(ctx, 4*lookEvery, true, func(ctx context.Context) (bool, error) {
		switch err = r.client.Delete(ctx, r.namespace.DeepCopy(), client.Preconditions{UID: &r.namespace.UID}); {
		case apierrors.IsNotFound(err):
			return true, nil
		case apierrors.IsForbidden(err):
			return false, err
		}
		return false, nil
	})
	switch {
	case waited == nil:
		return nil
	case err == nil:
		err = waited
	}
	return fmt.Errorf("namespace %s is left behind: %w", r.namespace.Name, err)
}

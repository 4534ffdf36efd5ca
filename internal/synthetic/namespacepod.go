package synthetic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/snapshot"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	namespacePodScenario = "namespace-pod"
	// podsAtOnce is how many namespaces are tried at one time.
	podsAtOnce = 20
	// getPause lies between two looks at a pod that may be read by its name only, as Kuberhealthy's
	// manifest of version 3 has it.
	getPause = 2 * time.Second
)

var namespacePodTable = []Option{
	{Name: "NAMESPACES", Doc: "Namespaces to run a pod in, with commas between. All where it is not set."},
	{Name: "NAMESPACE_SELECTOR", Doc: "Labels of the namespaces to run a pod in, as kubectl get -l takes them."},
	{Name: "IGNORED_NAMESPACES", Doc: "Namespaces to pass over, with commas between."},
	{Name: "POD_TIMEOUT", Doc: "Time that a pod may take to become ready, and again to end, at least 1s.", Default: "2m"},
}

var _ = All.Add(Scenario{
	Name:    namespacePodScenario,
	Doc:     "Runs a pod in every namespace and removes it again. A failure names the namespaces in which that does not work, and why.",
	Images:  []string{"namespace-pod-check"},
	Options: namespacePodTable,
	ClusterAccess: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"namespaces"}, Verbs: []string{"list"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"events"}, Verbs: []string{"list"}},
	},
	Time: 10 * time.Minute,
	Run:  runNamespacePod,
})

// namespacePods is one run of the scenario.
type namespacePods struct {
	env   Environment
	stage *stage.Stage
	views *stage.Views
	pods  *stage.View[*corev1.Pod]
	limit time.Duration
	// patience with pods whose kubelets do not take them up.
	patience *patience
	// faults and notes are by what they say, with the namespaces that they are about.
	faults, notes map[string][]string
}

func runNamespacePod(ctx context.Context, env Environment) (Result, error) {
	told := env.read(namespacePodTable)
	wanted, ignored, limit := told.list("NAMESPACES"), told.list("IGNORED_NAMESPACES"), told.duration("POD_TIMEOUT", time.Second)
	selector, err := labels.Parse(told.text("NAMESPACE_SELECTOR"))
	if err != nil {
		told.refuse("NAMESPACE_SELECTOR", told.text("NAMESPACE_SELECTOR"), "labels such as team=shop,stage!=test")
	}
	if err := told.err(); err != nil {
		return Result{}, err
	}
	return act(ctx, env, namespacePodScenario, func(ctx context.Context, s *stage.Stage, r *Result) {
		play := &namespacePods{env: env, stage: s, limit: limit, faults: map[string][]string{}, notes: map[string][]string{}}
		chosen, err := play.choose(ctx, wanted, ignored, selector)
		if err != nil {
			r.Errors = append(r.Errors, err.Error())
			return
		}
		sweep(ctx, s, r, metav1.NamespaceAll, &corev1.PodList{})
		watching, stop := context.WithCancel(ctx)
		play.views = stage.NewViews(env.Client, env.Clock)
		defer play.views.Wait()
		defer stop()
		play.pods = stage.ObserveIfAllowed[*corev1.Pod](watching, play.views, &corev1.PodList{}, s.Selector())
		play.patience = newPatience(watching, env, play.views)
		for wave := range slices.Chunk(chosen, podsAtOnce) {
			if ctx.Err() != nil {
				for _, name := range wave {
					play.fault(name, "it was not tried: the time of the run was over")
				}
				continue
			}
			play.wave(ctx, wave)
		}
		for _, why := range slices.Sorted(maps.Keys(play.faults)) {
			r.Errors = append(r.Errors, fmt.Sprintf("namespace %s: %s", names(play.faults[why]), why))
		}
		for _, why := range slices.Sorted(maps.Keys(play.notes)) {
			r.Notes = append(r.Notes, fmt.Sprintf("namespace %s: %s", names(play.notes[why]), why))
		}
	}), nil
}

func (p *namespacePods) fault(namespace, why string) {
	p.faults[why] = append(p.faults[why], namespace)
}

func (p *namespacePods) note(namespace, why string) {
	p.notes[why] = append(p.notes[why], namespace)
}

// choose lists the namespaces to try. One that is named and does not exist is a fault.
func (p *namespacePods) choose(ctx context.Context, wanted, ignored []string, selector labels.Selector) ([]string, error) {
	var chosen []string
	found := map[string]bool{}
	err := each(ctx, p.env.Client, &corev1.NamespaceList{}, "namespaces", "", metav1.ListOptions{}, func(n *corev1.Namespace) {
		found[n.Name] = true
		switch {
		case len(wanted) > 0 && !slices.Contains(wanted, n.Name), slices.Contains(ignored, n.Name), !selector.Matches(labels.Set(n.Labels)):
		case !n.DeletionTimestamp.IsZero(), n.Status.Phase == corev1.NamespaceTerminating:
			p.note(n.Name, "passed over, since it is being deleted")
		default:
			chosen = append(chosen, n.Name)
		}
	})
	for _, name := range wanted {
		if err == nil && !found[name] {
			p.fault(name, "it does not exist")
		}
	}
	return chosen, err
}

// wave runs a pod in each of some namespaces.
func (p *namespacePods) wave(ctx context.Context, namespaces []string) {
	made := map[string]*corev1.Pod{}
	for _, namespace := range namespaces {
		pod := p.pod(namespace)
		switch err := p.stage.Make(ctx, pod); {
		case err == nil:
			made[namespace] = pod
		case gone(err):
			p.note(namespace, "passed over, since it is being deleted")
		default:
			p.fault(namespace, stage.Refusal(err))
		}
	}
	waiting, stop := context.WithTimeout(ctx, p.limit)
	defer stop()
	err := p.until(waiting, made, func(pod *corev1.Pod) bool {
		return pod != nil && (snapshot.PodReady(pod) || p.patience.anyIgnored(waiting, []*corev1.Pod{pod}))
	})
	p.explain(ctx, made, err)
	p.remove(ctx, made)
}

// remove deletes pods, and waits until they are gone, but for those that their kubelets never took up.
func (p *namespacePods) remove(ctx context.Context, made map[string]*corev1.Pod) {
	asking, done := explaining(ctx, p.env)
	defer done()
	for namespace, pod := range made {
		now := p.find(asking, pod)
		end := p.stage.Remove
		if now != nil && p.patience.ignoredPod(now) {
			end = func(ctx context.Context, _ client.Object) error { return p.stage.Abandon(ctx, now) }
		}
		if err := end(asking, pod); err != nil {
			p.fault(namespace, err.Error())
			delete(made, namespace)
		}
	}
	ending, stop := context.WithTimeout(ctx, p.limit)
	defer stop()
	if err := p.until(ending, made, func(pod *corev1.Pod) bool { return pod == nil }); err == nil || ctx.Err() != nil {
		return
	}
	// What was asked before has had its time.
	asking, done = explaining(ctx, p.env)
	defer done()
	for namespace, pod := range made {
		if p.find(asking, pod) != nil {
			p.fault(namespace, fmt.Sprintf("the pod was still there %s after it was deleted", p.limit))
		}
	}
}

func (p *namespacePods) pod(namespace string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.stage.Name("kuberhealthy-namespace-checker-pod")},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{{Name: "pause", Image: p.env.Image, Args: []string{"pause"}, Resources: tiny()}},
			RestartPolicy:                 corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: new(int64(1)),
			ActiveDeadlineSeconds:         new(int64((2*p.limit + afterExpiry).Seconds())),
		},
	}
	restrict(&pod.Spec)
	return pod
}

// until waits until well says so of every pod, which is nil where it is gone.
func (p *namespacePods) until(ctx context.Context, made map[string]*corev1.Pod, well func(*corev1.Pod) bool) error {
	all := func() bool {
		missing := 0
		for _, pod := range made {
			// Each is looked at, so that the time runs for all.
			if !well(p.find(ctx, pod)) {
				missing++
			}
		}
		return missing == 0
	}
	if p.watched() {
		err := p.views.Until(ctx, 0, func() (bool, error) {
			return !p.watched() || all(), nil
		})
		if err != nil || p.watched() {
			return err
		}
	}
	for !all() {
		if !waitFor(ctx, p.env, getPause) {
			return ctx.Err()
		}
	}
	return nil
}

// watched tells that pods may be listed, and so followed.
func (p *namespacePods) watched() bool { return p.pods.Denied() == nil }

// find returns a pod as it is now; nil where it is gone.
func (p *namespacePods) find(ctx context.Context, pod *corev1.Pod) *corev1.Pod {
	if p.watched() {
		for _, seen := range p.pods.All() {
			if seen.Namespace == pod.Namespace && seen.Name == pod.Name {
				return seen
			}
		}
		return nil
	}
	var now corev1.Pod
	err := p.env.Client.Get(ctx, client.ObjectKeyFromObject(pod), &now)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return pod
	}
	return &now
}

// explain says of each pod that is not ready why not; late tells why it was waited for no longer, and is nil
// where all are ready or were given up before their time was over.
func (p *namespacePods) explain(ctx context.Context, made map[string]*corev1.Pod, late error) {
	after := fmt.Sprintf("after %s", p.limit)
	switch {
	case late == nil:
		after = fmt.Sprintf("after %s", lostAfter)
	case ctx.Err() != nil:
		after = "when " + cutShort(late, p.views)
	}
	asking, done := explaining(ctx, p.env)
	defer done()
	for namespace, pod := range made {
		now := p.find(asking, pod)
		if now == nil {
			p.note(namespace, "the pod was deleted by somebody else before it was ready")
			continue
		}
		if why := stage.WhyNot(asking, p.env.Client, now); why != "" {
			p.fault(namespace, fmt.Sprintf("the pod %s, %s", why, after))
		}
	}
}

// gone tells that a namespace is being deleted, or is gone since it was listed.
func gone(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err)
}

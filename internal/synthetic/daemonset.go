package synthetic

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// readyFor is how long all pods have to be ready at once, as Kuberhealthy wants it.
const readyFor = 5 * time.Second

const daemonSetScenario = "daemonset"

var daemonSetTable = []Option{
	{Name: "POD_NAMESPACE", Doc: "Namespace to act in; that of the checker pod where it is not set."},
	{Name: "PAUSE_CONTAINER_IMAGE", Doc: "Image of the pods. The checker's own where it is not set, which is on some nodes already."},
	{Name: "CHECK_DAEMONSET_NAME", Doc: "What the DaemonSet's name begins with.", Default: "daemonset"},
	{Name: "DAEMONSET_PRIORITY_CLASS_NAME", Doc: "PriorityClass of the pods."},
	{Name: optionNodeSelector, Doc: "Labels of the nodes to run on: key=value with commas between."},
	{Name: optionTolerations, Doc: "Taints that the pods tolerate: key, key=value or key=value:effect, with commas between. Every taint that a node has where it is not set."},
	{Name: "ALLOWED_TAINTS", Doc: "Taints that a node may have without getting a pod: key:effect or key=value:effect, with commas between."},
	{Name: optionGrace, Doc: "Time for cleaning up when the run's time is over, at least a minute; what the checker is given where it is not set."},
}

var _ = All.Add(Scenario{
	Name:    daemonSetScenario,
	Doc:     "Runs a pod on every node that should take one, and removes it again. A failure names the nodes on which pods do not start or do not end, and why; one that has been NotReady for a minute is not waited for.",
	Images:  []string{"daemonset-check"},
	Options: daemonSetTable,
	Access: []rbacv1.PolicyRule{
		{APIGroups: []string{appsv1.GroupName}, Resources: []string{"daemonsets"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"pods"}, Verbs: []string{"delete", "get", "list", "watch"}},
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"events"}, Verbs: []string{"list"}},
	},
	ClusterAccess: []rbacv1.PolicyRule{
		{APIGroups: []string{corev1.GroupName}, Resources: []string{"nodes"}, Verbs: []string{"list", "watch"}},
	},
	Standing: true,
	Time:     12 * time.Minute,
	Run:      runDaemonSet,
})

// daemonSetOptions are the scenario's options, read.
type daemonSetOptions struct {
	namespace, image, prefix, priority string
	selector                           map[string]string
	tolerations                        []corev1.Toleration
	allowed                            []corev1.Taint
}

func runDaemonSet(ctx context.Context, env Environment) (Result, error) {
	told := env.read(daemonSetTable)
	o := daemonSetOptions{
		namespace: told.namespaceOr("POD_NAMESPACE", env), image: told.text("PAUSE_CONTAINER_IMAGE"),
		prefix: told.text("CHECK_DAEMONSET_NAME"), priority: told.text("DAEMONSET_PRIORITY_CLASS_NAME"),
		selector: told.nodeSelector(), tolerations: told.tolerations(optionTolerations), allowed: told.taints("ALLOWED_TAINTS"),
	}
	env.Grace = told.grace(env, time.Minute)
	if err := told.err(); err != nil {
		return Result{}, err
	}
	return act(ctx, env, daemonSetScenario, func(ctx context.Context, s *stage.Stage, r *Result) {
		sweep(ctx, s, r, o.namespace, &appsv1.DaemonSetList{}, &corev1.PodList{})
		if err := o.tolerateTaints(ctx, env, r); err != nil {
			r.Errors = append(r.Errors, err.Error())
			return
		}
		set := o.daemonSet(env, s)
		began := env.Clock.Now()
		if err := s.Make(ctx, set); err != nil {
			r.Errors = append(r.Errors, err.Error())
			return
		}
		playDaemonSet(ctx, env, s, r, &coverage{options: o, set: set, began: began})
	}), nil
}

// tolerateTaints has the pods tolerate, where no option says which, every taint that a node has; by
// key, value and effect, since most taints have no value.
func (o *daemonSetOptions) tolerateTaints(ctx context.Context, env Environment, r *Result) error {
	if len(o.tolerations) > 0 {
		return nil
	}
	var nodes corev1.NodeList
	err := env.Client.List(ctx, &nodes)
	if apierrors.IsForbidden(err) {
		r.Notes = append(r.Notes, "nodes may not be listed: only the nodes that the DaemonSet controller chooses are judged, and no taint is tolerated")
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing nodes: %w", stage.Refused(err))
	}
	seen := map[corev1.Taint]bool{}
	for i := range nodes.Items {
		for _, t := range nodes.Items[i].Spec.Taints {
			t.TimeAdded = nil
			if seen[t] || t.Effect == corev1.TaintEffectPreferNoSchedule || leaves(&t) || allows(o.allowed, &t) {
				continue
			}
			seen[t] = true
			o.tolerations = append(o.tolerations, corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value, Effect: t.Effect})
		}
	}
	return nil
}

func (o *daemonSetOptions) daemonSet(env Environment, s *stage.Stage) *appsv1.DaemonSet {
	name := s.Name(o.prefix)
	labels := s.Labels()
	labels["kh-app"] = name
	pod := corev1.PodSpec{
		Containers:                    []corev1.Container{{Name: "pause", Image: o.image, Resources: tiny()}},
		TerminationGracePeriodSeconds: new(int64(1)),
		Tolerations:                   o.tolerations,
		NodeSelector:                  o.selector,
		PriorityClassName:             o.priority,
	}
	if o.image == "" {
		pod.Containers[0].Image, pod.Containers[0].Args = env.Image, []string{"pause"}
	}
	restrict(&pod)
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: name, Labels: labels},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
					// Otherwise a pod in kube-system would keep the cluster autoscaler from removing its node.
					"cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
					stage.AnnotationExpires:                          s.Expires.UTC().Format(time.RFC3339),
				}},
				Spec: pod,
			},
		},
	}
}

func playDaemonSet(ctx context.Context, env Environment, s *stage.Stage, r *Result, c *coverage) {
	watching, stop := context.WithCancel(ctx)
	views := stage.NewViews(env.Client, env.Clock)
	defer views.Wait()
	defer stop()
	inNamespace := client.InNamespace(c.options.namespace)
	c.pods = stage.Observe[*corev1.Pod](watching, views, &corev1.PodList{}, inNamespace, s.Selector())
	c.sets = stage.Observe[*appsv1.DaemonSet](watching, views, &appsv1.DaemonSetList{}, inNamespace, s.Selector())
	c.nodes = stage.ObserveIfAllowed[*corev1.Node](watching, views, &corev1.NodeList{})

	c.patience = newPatience(watching, env, views)

	err := views.Until(ctx, readyFor, func() (bool, error) { return c.complete(ctx, env.Clock.Now()), nil })
	asking, done := explaining(ctx, env)
	defer done()
	c.report(asking, env, r, err, views)
	if err != nil {
		return
	}
	removed := env.Clock.Now()
	if err := s.Remove(ctx, c.set); err != nil {
		r.Errors = append(r.Errors, err.Error())
		return
	}
	if err := views.Until(ctx, 0, func() (bool, error) { return c.gone(ctx), nil }); err != nil {
		// The reasons are asked for now; what asked before has had its time.
		asking, done := explaining(ctx, env)
		defer done()
		c.reportLeft(asking, env, s, r, env.Clock.Since(removed), cutShort(err, views))
		return
	}
	c.abandon(ctx, env, s, r, removed)
}

package synthetic

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// rollout is one run of the deployment scenario.
type rollout struct {
	env         Environment
	options     deploymentOptions
	stage       *stage.Stage
	views       *stage.Views
	deployments *stage.View[*appsv1.Deployment]
	services    *stage.View[*corev1.Service]
	pods        *stage.View[*corev1.Pod]
	deployment  *appsv1.Deployment
	service     *corev1.Service
	dial        dialer
	// patience with pods whose kubelets do not take them up.
	patience *patience
}

func runDeployment(ctx context.Context, env Environment, dial dialer) (Result, error) {
	told := env.read(deploymentTable)
	o := told.deployment(env)
	env.Grace = told.grace(env, time.Second)
	if err := told.err(); err != nil {
		return Result{}, err
	}
	return act(ctx, env, deploymentScenario, func(ctx context.Context, s *stage.Stage, r *Result) {
		sweep(ctx, s, r, o.namespace, &appsv1.DeploymentList{}, &corev1.ServiceList{})
		watching, stop := context.WithCancel(ctx)
		views := stage.NewViews(env.Client, env.Clock)
		defer views.Wait()
		defer stop()
		here := client.InNamespace(o.namespace)
		play := &rollout{
			env: env, options: o, stage: s, views: views, dial: dial,
			deployment: o.deployment(env, s), service: o.serviceFor(s),
		}
		for _, object := range []client.Object{play.deployment, play.service} {
			if err := s.Make(ctx, object); err != nil {
				r.Errors = append(r.Errors, err.Error())
				return
			}
		}
		play.deployments = stage.Observe[*appsv1.Deployment](watching, views, &appsv1.DeploymentList{}, here, s.Selector())
		play.services = stage.Observe[*corev1.Service](watching, views, &corev1.ServiceList{}, here, s.Selector())
		play.pods = stage.Observe[*corev1.Pod](watching, views, &corev1.PodList{}, here, s.Selector())
		play.patience = newPatience(watching, env, views)
		play.run(ctx, r)
	}), nil
}

func (p *rollout) run(ctx context.Context, r *Result) {
	if err := p.available(ctx); err != nil {
		r.Errors = append(r.Errors, p.why(ctx, "did not become available", err)...)
		return
	}
	steps := []func(context.Context, *Result) bool{p.request}
	if p.options.roll {
		steps = append(steps, p.roll, p.request)
	}
	for _, step := range append(steps, p.remove) {
		if !step(ctx, r) {
			return
		}
	}
}

// available waits until the Deployment has all its pods, of its newest template and of no older. A pod that
// its kubelet does not take up is not waited for until the controllers put another in its place: that takes
// five minutes, and the node is to be known before.
func (p *rollout) available(ctx context.Context) error {
	return p.views.Until(ctx, 0, func() (bool, error) {
		for _, d := range p.deployments.All() {
			if d.Name != p.deployment.Name || d.Generation < p.deployment.Generation || d.Status.ObservedGeneration < d.Generation {
				continue
			}
			if reason := stalled(d); reason != "" {
				return false, stalledError(reason)
			}
			want := *d.Spec.Replicas
			s := d.Status
			if s.AvailableReplicas != want && p.patience.anyIgnored(ctx, p.pods.All()) {
				return false, stalledError("a kubelet does not take up its pod")
			}
			return s.Replicas == want && s.UpdatedReplicas == want && s.AvailableReplicas == want && s.UnavailableReplicas == 0, nil
		}
		return false, nil
	})
}

// stalledError says why a Deployment does not go on.
type stalledError string

func (e stalledError) Error() string { return string(e) }

// stalled gives the reason of a Deployment that the controller has given up; it does so after
// progressDeadlineSeconds, ten minutes where nothing else is written.
func stalled(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse {
			return "the Deployment controller gave up: " + c.Reason
		}
	}
	return ""
}

// why tells, for each reason that some pods share, what keeps the Deployment from being available.
func (p *rollout) why(ctx context.Context, what string, err error) []string {
	name := p.deployment.Namespace + "/" + p.deployment.Name
	if stage.Denied(err) {
		return []string{fmt.Sprintf("Deployment %s cannot be followed: %v", name, stage.Refused(err))}
	}
	ending := "when " + cutShort(err, p.views)
	if stuck, ok := err.(stalledError); ok { //nolint:errorlint // nobody wraps it between there and here
		ending = "as " + stuck.Error()
	}
	asking, done := explaining(ctx, p.env)
	defer done()
	byReason := map[string][]string{}
	for i, pod := range p.pods.All() {
		if i >= mostExplained {
			break
		}
		if why := stage.WhyNot(asking, p.env.Client, pod); why != "" && pod.DeletionTimestamp.IsZero() {
			byReason[why] = append(byReason[why], pod.Name)
		}
	}
	head := fmt.Sprintf("Deployment %s %s, %s", name, what, ending)
	var all []string
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		all = append(all, fmt.Sprintf("%s: pod %s %s", head, names(byReason[why]), why))
	}
	if len(all) > 0 {
		return all
	}
	return []string{head + p.refusals(asking)}
}

// refusals tells why there are no pods.
func (p *rollout) refusals(ctx context.Context) string {
	for _, d := range p.deployments.All() {
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
				return fmt.Sprintf(": its pods are refused (%s): %s", c.Reason, strings.Join(strings.Fields(c.Message), " "))
			}
		}
		if d.Status.ObservedGeneration < d.Generation {
			return ": the Deployment controller has not taken it up"
		}
	}
	if warning := stage.LastWarning(ctx, p.env.Client, p.deployment); warning != "" {
		return ": " + warning
	}
	return fmt.Sprintf(": it has %d pods", len(p.pods.All()))
}

// roll changes the Deployment, and sends requests through the Service until all its pods are new.
func (p *rollout) roll(ctx context.Context, r *Result) bool {
	began := p.env.Clock.Now()
	patch := p.options.change(p.deployment, began)
	if err := p.env.Client.Patch(ctx, p.deployment, patch); err != nil {
		r.Errors = append(r.Errors, fmt.Sprintf("updating Deployment %s/%s: %v", p.deployment.Namespace, p.deployment.Name, stage.Refused(err)))
		return false
	}
	counting, stop := context.WithCancel(ctx)
	counted := make(chan traffic, 1)
	go func() { counted <- p.count(counting, began) }()
	err := p.available(ctx)
	stop()
	seen := <-counted
	if err != nil {
		r.Errors = append(r.Errors, p.why(ctx, "did not finish its rolling update", err)...)
	}
	p.judge(seen, r)
	return err == nil
}

// remove deletes both, and waits until they and the pods are gone.
func (p *rollout) remove(ctx context.Context, r *Result) bool {
	began := p.env.Clock.Now()
	for _, o := range []client.Object{p.service, p.deployment} {
		if err := p.stage.Remove(ctx, o); err != nil {
			r.Errors = append(r.Errors, err.Error())
			return false
		}
	}
	err := p.views.Until(ctx, 0, func() (bool, error) {
		return len(p.pods.All()) == 0 && len(p.deployments.All()) == 0 && len(p.services.All()) == 0, nil
	})
	if err == nil {
		return true
	}
	after := p.env.Clock.Since(began).Round(time.Second)
	ending := cutShort(err, p.views)
	var left []string
	for _, pod := range p.pods.All() {
		left = append(left, pod.Name)
	}
	text := fmt.Sprintf("Deployment %s/%s was deleted, and %s later, when %s, ", p.deployment.Namespace, p.deployment.Name, after, ending)
	switch {
	case len(left) > 0:
		text += "its pods were still there: " + names(left)
	case len(p.deployments.All()) > 0:
		text += "it was still there"
	default:
		text += "its Service was still there"
	}
	r.Errors = append(r.Errors, text)
	return false
}

package podrun

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/internal/synthetic/launch"
)

// The reasons of refusals.
const (
	// ReasonInvalidTemplate: podTemplate is no template of a pod that ends.
	ReasonInvalidTemplate = "InvalidPodTemplate"
	// ReasonUnknownScenario: there is no such scenario, in the operator or in the checker's image.
	ReasonUnknownScenario = "UnknownScenario"
	// ReasonUnknownParameter: the scenario has no such parameter.
	ReasonUnknownParameter = "UnknownParameter"
	// ReasonNoCheckerImage: the operator was not told which image plays scenarios.
	ReasonNoCheckerImage = "NoCheckerImage"
	// ReasonPodRefused: the API server does not take the pod.
	ReasonPodRefused = "PodRefused"
	// ReasonNoPod: the check asks no question that a pod answers.
	ReasonNoPod = "NoPod"
)

// cleanUp is what a scenario has at least, if its timeout is long enough, to remove what it made before its pod is
// stopped. It has as much again after that, by its pod's grace period.
const cleanUp = 20 * time.Second

// makePod is the pod of the run. Its errors are those of Run.
func (s *slotRun) makePod(ctx context.Context) (*unstructured.Unstructured, error) {
	var spec, labels, annotations map[string]any
	var err error
	switch {
	case s.check.Spec.Synthetic != nil:
		spec, err = s.scenario(s.check.Spec.Synthetic)
	case s.check.Spec.PodTemplate != nil:
		spec, labels, annotations, err = s.template(ctx)
	default:
		err = plan.Refuse(ReasonNoPod, "the check runs no pod; write spec.synthetic or spec.podTemplate")
	}
	if err != nil {
		return nil, err
	}
	limit := max(int64((s.timeout+time.Second-1)/time.Second), 1)
	if own, ok := spec["activeDeadlineSeconds"].(int64); !ok || own > limit {
		spec["activeDeadlineSeconds"] = limit
	}
	spec["restartPolicy"] = string(corev1.RestartPolicyNever)
	metadata := map[string]any{}
	for field, entries := range map[string]map[string]any{"labels": labels, "annotations": annotations} {
		if len(entries) > 0 {
			metadata[field] = entries
		}
	}
	pod := &unstructured.Unstructured{Object: map[string]any{"metadata": metadata, "spec": spec}}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(s.pod.Namespace)
	pod.SetName(s.pod.Name)
	marks := pod.GetLabels()
	if marks == nil {
		marks = map[string]string{}
	}
	marks[v1alpha1.LabelRunOf] = string(s.check.UID)
	marks[LabelCheck] = clip(s.check.Name, validation.LabelValueMaxLength)
	marks[LabelSlot] = slotLabel(s.slot)
	pod.SetLabels(marks)
	// It does not block the check's deletion, which would need the right to update the finalizers of Checks
	// (kubernetes: plugin/pkg/admission/gc, OwnerReferencesPermissionEnforcement).
	pod.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Check", Name: s.check.Name, UID: s.check.UID, Controller: new(true),
	}})
	return pod, nil
}

// scenario is the spec of the pod that plays a scenario.
func (s *slotRun) scenario(action *v1alpha1.SyntheticAction) (map[string]any, error) {
	found, ok := synthetic.All.Find(action.Scenario)
	if !ok {
		var known []string
		for _, each := range synthetic.All.All() {
			known = append(known, each.Name)
		}
		return nil, plan.Refuse(ReasonUnknownScenario, "there is no scenario %q; write synthetic.scenario as one of %s", action.Scenario, strings.Join(known, ", "))
	}
	known := make([]string, len(found.Options))
	for i, option := range found.Options {
		known[i] = option.Name
	}
	var env []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(action.Parameters)) {
		switch {
		case slices.Contains(known, name):
			env = append(env, corev1.EnvVar{Name: name, Value: string(action.Parameters[name])})
		case len(known) == 0:
			return nil, plan.Refuse(ReasonUnknownParameter, "the scenario %s takes no parameters; leave out synthetic.parameters.%s", found.Name, name)
		default:
			return nil, plan.Refuse(ReasonUnknownParameter, "the scenario %s has no parameter %s; write synthetic.parameters with names out of %s",
				found.Name, name, strings.Join(known, ", "))
		}
	}
	if s.o.Image == "" {
		return nil, plan.Refuse(ReasonNoCheckerImage, "the operator does not know the image that plays scenarios; start it with --checker-image")
	}
	until := s.o.Clock.Now().Add(s.timeout - min(cleanUp, s.timeout/3))
	env = append(env, corev1.EnvVar{Name: kuberhealthy.EnvDeadline, Value: strconv.FormatInt(until.Unix(), 10)})
	spec := launch.Spec(found, action.ServiceAccountName, s.o.Image, env)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return nil, fmt.Errorf("writing the pod of the scenario %s: %w", found.Name, err)
	}
	return fields, nil
}

// template is what the check has written. It is read as the API server holds it: the check that was decoded has lost
// what a newer Kubernetes has in a pod and this program does not know.
func (s *slotRun) template(ctx context.Context) (spec, labels, annotations map[string]any, err error) {
	written := &unstructured.Unstructured{}
	written.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Check"))
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	err = s.o.Client.Get(ctx, client.ObjectKeyFromObject(s.check), written)
	switch {
	case apierrors.IsNotFound(err), err == nil && written.GetUID() != s.check.UID:
		return nil, nil, nil, nobody(Terminating, "the check is not there any more")
	case err != nil:
		return nil, nil, nil, fmt.Errorf("reading the podTemplate of the check: %w", err)
	}
	fields, _, _ := unstructured.NestedFieldNoCopy(written.Object, "spec", "podTemplate")
	template, ok := fields.(map[string]any)
	if !ok {
		return nil, nil, nil, plan.Refuse(ReasonInvalidTemplate, "spec.podTemplate is no object; compare it with kubectl explain podtemplate.template")
	}
	var typed corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(template, &typed); err != nil {
		return nil, nil, nil, plan.Refuse(ReasonInvalidTemplate, "spec.podTemplate is no pod template: %v; compare it with kubectl explain podtemplate.template", err)
	}
	if refusal := s.unfit(&typed); refusal != nil {
		return nil, nil, nil, refusal
	}
	// Of the metadata, what a Job takes too but for finalizers: nobody would take those off.
	spec, _, _ = unstructured.NestedMap(template, "spec")
	labels, _, _ = unstructured.NestedMap(template, "metadata", "labels")
	annotations, _, _ = unstructured.NestedMap(template, "metadata", "annotations")
	return spec, labels, annotations, nil
}

// unfit says what of a template the API server would take and a run cannot do with.
func (s *slotRun) unfit(template *corev1.PodTemplateSpec) error {
	switch {
	case len(template.Spec.Containers) == 0:
		return plan.Refuse(ReasonInvalidTemplate, "spec.podTemplate has no containers; write spec.podTemplate.spec.containers with at least one")
	case template.Namespace != "" && template.Namespace != s.check.Namespace:
		return plan.Refuse(ReasonInvalidTemplate, "spec.podTemplate names the namespace %s, and a check's pod runs in the check's own; leave out spec.podTemplate.metadata.namespace",
			template.Namespace)
	case template.Spec.RestartPolicy == corev1.RestartPolicyAlways:
		return plan.Refuse(ReasonInvalidTemplate, "spec.podTemplate has restartPolicy Always, and so would never end; write Never, or leave it out")
	}
	return nil
}

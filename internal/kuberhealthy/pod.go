package kuberhealthy

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// The environment variables that checker pods are given.
const (
	EnvReportingURL = "KH_REPORTING_URL"
	EnvRunID        = "KH_RUN_UUID"
	EnvDeadline     = "KH_CHECK_RUN_DEADLINE"
	EnvPodNamespace = "KH_POD_NAMESPACE"
)

// stopMargin is how long after a run's timeout its pod stops by itself. By then an operator that is there
// has ended the run, even one that gives reports time to arrive after an outage.
const stopMargin = time.Minute

// PodSettings are what checker pods are told about the operator.
type PodSettings struct {
	// ReportingURLV2 and ReportingURLV3 are where pods of each version report to.
	ReportingURLV2, ReportingURLV3 string
}

// ReportingURL is where pods of an API report to.
func (s PodSettings) ReportingURL(api API) string {
	if api == V3 {
		return s.ReportingURLV3
	}
	return s.ReportingURLV2
}

// Pod makes the pod of a run. It shares nothing with the check. The error says in a sentence what is
// wrong with the check's PodSpec, and where.
//
// The pod is unstructured: what a newer Kubernetes has in a PodSpec and this program does not know is
// passed on, not lost. Fields that were misspelt are passed on too, and the API server says so.
//
// Its owner is the check, whose deletion takes it along. It does not block that deletion, which would
// need the right to update the finalizers of checks (kubernetes:
// plugin/pkg/admission/gc, OwnerReferencesPermissionEnforcement).
func Pod(check Check, run Run, settings PodSettings) (*unstructured.Unstructured, error) {
	spec, err := podSpec(check)
	if err != nil {
		return nil, err
	}
	lists := []string{"containers"}
	if check.API == V3 {
		lists = append(lists, "initContainers")
	}
	env := environment(check, run, settings)
	for _, list := range lists {
		inject(spec, list, env)
	}
	restrict(check, spec)

	pod := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(check.Namespace)
	pod.SetName(PodName(check, run))
	labels, annotations := marks(check, run)
	pod.SetLabels(labels)
	pod.SetAnnotations(annotations)
	pod.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: string(check.API),
		Kind:       check.Kind,
		Name:       check.Name,
		UID:        check.UID,
		Controller: new(true),
	}})
	return pod, nil
}

// podSpec decodes a check's PodSpec twice: into its type, which proves that what is touched below has the
// form that it should have, and into what becomes the pod. The texts on containers are Kuberhealthy 2's
// own (master: pkg/checks/external/main.go, validatePodSpec).
func podSpec(check Check) (map[string]any, error) {
	field := "spec.podSpec"
	if check.API == V3 {
		field += ".spec"
	}
	var typed corev1.PodSpec
	var spec map[string]any
	if len(check.PodSpec) > 0 {
		for _, into := range []any{&typed, &spec} {
			if err := json.Unmarshal(check.PodSpec, into); err != nil {
				return nil, fmt.Errorf("%s of %s %s is no PodSpec: %w", field, check.Kind, check.NamespacedName, misfit(check.PodSpec, err))
			}
		}
	}
	if len(typed.Containers) == 0 {
		return nil, fmt.Errorf("no containers found in checks PodSpec: %s of %s %s has none", field, check.Kind, check.NamespacedName)
	}
	for i, container := range typed.Containers {
		if container.Image == "" {
			return nil, fmt.Errorf("no image found in check's PodSpec for container %s.: %s.containers[%d] of %s %s has none",
				clip(container.Name, quotedLength), field, i, check.Kind, check.NamespacedName)
		}
	}
	return spec, nil
}

// misfit says where a PodSpec has something of the wrong form, as far as the standard decoder tells: the
// other one's errors are in the words of Go.
func misfit(text []byte, err error) error {
	wrong, ok := errors.AsType[*stdjson.UnmarshalTypeError](stdjson.Unmarshal(text, &corev1.PodSpec{}))
	if !ok || wrong.Field == "" {
		return err
	}
	form := "a map"
	switch wrong.Type.Kind() {
	case reflect.Slice:
		form = "a list"
	case reflect.String:
		form = "a text"
	case reflect.Bool:
		form = "true or false"
	case reflect.Int32, reflect.Int64:
		form = "a whole number"
	default:
	}
	return fmt.Errorf("%s should be %s", clip(wrong.Field, quotedLength), form)
}

// environment is what a run's containers are told, in the order of Kuberhealthy 2.
func environment(check Check, run Run, settings PodSettings) []corev1.EnvVar {
	return []corev1.EnvVar{
		{Name: EnvReportingURL, Value: settings.ReportingURL(check.API)},
		{Name: EnvRunID, Value: run.ID},
		{Name: EnvDeadline, Value: strconv.FormatInt(run.Started.Add(check.Timeout).Unix(), 10)},
		{Name: EnvPodNamespace, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"},
		}},
	}
}

// inject gives the containers of a list an environment, in place of variables of the same names.
func inject(spec map[string]any, list string, env []corev1.EnvVar) {
	containers, _ := spec[list].([]any)
	for _, each := range containers {
		container, ok := each.(map[string]any)
		if !ok { // null: the API server refuses it
			continue
		}
		own := map[string]bool{}
		for _, variable := range env {
			own[variable.Name] = true
		}
		written, _ := container["env"].([]any)
		variables := make([]any, 0, len(written)+len(env))
		for _, variable := range written {
			entry, _ := variable.(map[string]any)
			if name, _ := entry["name"].(string); !own[name] {
				variables = append(variables, variable)
			}
		}
		for _, variable := range env {
			variables = append(variables, entry(variable))
		}
		container["env"] = variables
	}
}

// entry is an environment variable as JSON has it.
func entry(variable corev1.EnvVar) map[string]any {
	if variable.ValueFrom == nil {
		return map[string]any{"name": variable.Name, "value": variable.Value}
	}
	return map[string]any{"name": variable.Name, "valueFrom": map[string]any{
		"fieldRef": map[string]any{"fieldPath": variable.ValueFrom.FieldRef.FieldPath},
	}}
}

// restrict bounds how often and how long a pod may run.
//
// A checker pod runs once: version 2 forces the policy Never. Version 3 leaves it to the API server,
// whose default Always starts a checker again that has reported, for as long as the pod lives: it reports
// again, is refused, and never succeeds. Nobody writes a checker for that, so what is absent is Never
// here; what is written stays.
//
// The pod's own deadline is the last resort, where no operator is there to end the run: a kubelet that
// stops a pod leaves little of why it had not reported.
func restrict(check Check, spec map[string]any) {
	if policy, _ := spec["restartPolicy"].(string); check.API == V2 || policy == "" {
		spec["restartPolicy"] = string(corev1.RestartPolicyNever)
	}
	limit := min(int64((check.Timeout+time.Second-1)/time.Second)+int64(stopMargin/time.Second), math.MaxInt32)
	if own, ok := spec["activeDeadlineSeconds"].(int64); !ok || own > limit {
		spec["activeDeadlineSeconds"] = limit
	}
}

// marks are the labels and annotations of a run's pod: the user's, under those of the version and ours.
func marks(check Check, run Run) (labels, annotations map[string]string) {
	labels, annotations = copied(check.PodLabels), copied(check.PodAnnotations)
	labels[v1alpha1.LabelRunOf] = string(check.UID)
	if check.API == V2 {
		labels[khv1.LabelApp] = khv1.App
		labels[khv1.LabelCheck] = nameLabel(check.Name)
		labels[khv1.LabelRunID] = run.ID
		annotations[khv1.AnnotationCheck] = check.Name
		return labels, annotations
	}
	labels[khv2.LabelCheck] = nameLabel(check.Name)
	labels[khv2.LabelRunID] = run.ID
	annotations[khv2.AnnotationCreatedBy] = khv2.CreatedBy
	annotations[khv2.LabelRunID] = run.ID
	annotations[khv2.AnnotationCreatedAt] = run.Started.UTC().String()
	annotations[khv2.AnnotationCheck] = check.Name
	return labels, annotations
}

func copied(entries map[string]string) map[string]string {
	if entries == nil {
		return map[string]string{}
	}
	return maps.Clone(entries)
}

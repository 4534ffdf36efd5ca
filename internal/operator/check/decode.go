package check

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// The reasons of Stalled that this package gives itself.
const (
	reasonInvalidTemplate = "InvalidPodTemplate"
	reasonInvalidCheck    = "InvalidCheck"
)

// decoded is a Check as the API server has it.
type decoded struct {
	*v1alpha1.Check
	// refusal says what of it cannot be understood; nil where all can.
	refusal *plan.Refusal
}

// decode reads a Check. The schema lets a podTemplate be any object, and an older definition may let through
// more: what is no Check must make neither the list of all others unreadable, nor its own status unwritable.
func decode(object any) (decoded, error) {
	raw, ok := object.(*unstructured.Unstructured)
	if !ok {
		return decoded{}, fmt.Errorf("a watch of Checks gave a %T", object)
	}
	check, err := convert(raw.Object)
	if err == nil {
		return decoded{Check: trim(check)}, nil
	}
	spec, _ := raw.Object["spec"].(map[string]any)
	if template, ok := spec["podTemplate"]; ok {
		delete(spec, "podTemplate")
		if check, rest := convert(raw.Object); rest == nil {
			_, isObject := template.(map[string]any)
			why := explain(template, isObject)
			return decoded{trim(check), plan.Refuse(reasonInvalidTemplate, "podTemplate is no pod template: %s; compare it with kubectl explain podtemplate.template", why)}, nil
		}
	}
	check = &v1alpha1.Check{ObjectMeta: identity(raw)}
	if check.UID == "" {
		return decoded{}, errors.New("a watch of Checks gave an object without a UID")
	}
	return decoded{check, plan.Refuse(reasonInvalidCheck, "the check cannot be read: %v; bring the definition checks.maek.dev up to date, and write the check anew", err)}, nil
}

// trim takes from a Check what nobody reads of it: it may be as large as the API server lets objects be, and all
// replicas keep all Checks. Runs read the podTemplate anew (internal/operator/check/podrun).
func trim(check *v1alpha1.Check) *v1alpha1.Check {
	kept := &v1alpha1.Check{ObjectMeta: identity(check), Spec: check.Spec, Status: check.Status}
	if wish := check.Annotations[v1alpha1.AnnotationRunNow]; wish != "" && len(wish) <= longestWish {
		kept.Annotations = map[string]string{v1alpha1.AnnotationRunNow: wish}
	}
	if template := check.Spec.PodTemplate; template != nil {
		kept.Spec.PodTemplate = &corev1.PodTemplateSpec{}
		if account := template.Spec.ServiceAccountName; len(account) <= maxName {
			kept.Spec.PodTemplate.Spec.ServiceAccountName = account // which refusals of the pod name
		}
	}
	return kept
}

// identity is what of an object's metadata tells it, and its versions, from others.
func identity(object metav1.Object) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
		ResourceVersion: object.GetResourceVersion(), Generation: object.GetGeneration(),
		CreationTimestamp: object.GetCreationTimestamp(), DeletionTimestamp: object.GetDeletionTimestamp(),
	}
}

// explain says what keeps a value from being a pod template.
func explain(template any, isObject bool) string {
	if !isObject {
		return "it is no object"
	}
	fields, _ := template.(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &corev1.PodTemplateSpec{}); err != nil {
		return err.Error()
	}
	return "it cannot be read"
}

func convert(fields map[string]any) (*v1alpha1.Check, error) {
	check := &v1alpha1.Check{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, check); err != nil {
		return nil, err
	}
	return check, nil
}

// encode is a Check with a status, as it is written: what of its spec cannot be understood is not in it,
// which a write of the status leaves alone.
func encode(check *v1alpha1.Check, status *v1alpha1.CheckStatus) (*unstructured.Unstructured, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`

		Status *v1alpha1.CheckStatus `json:"status"`
	}{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: Kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: check.Namespace, Name: check.Name, UID: check.UID, ResourceVersion: check.ResourceVersion},
		Status:     status,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the status of Check %s/%s: %w", check.Namespace, check.Name, err)
	}
	return &unstructured.Unstructured{Object: fields}, nil
}

package snapshot

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// What is kept of the texts in which checks say what is wrong: the API server takes up to 1.5 MB of them,
// and nobody reads more than a page.
const (
	// maxCheckErrors is how many of the errors of a run are kept.
	maxCheckErrors = 50
	// maxCheckErrorBytes is how much is kept of each.
	maxCheckErrorBytes = 2 << 10
	// maxCheckErrorsBytes is how much is kept of all of them; the one that passes it is the last.
	maxCheckErrorsBytes = 16 << 10
	// maxCheckOutcomes is how many runs are kept of a record.
	maxCheckOutcomes = 10
)

// trimCheck drops from a check what no rule reads: of what its pods are made from, the names and images of
// the containers are enough to know what it does.
func trimCheck(o Object) {
	switch o := o.(type) {
	case *khv1.KuberhealthyCheck:
		o.Spec.PodSpec = trimTemplate(o.Spec.PodSpec)
		o.Spec.ExtraAnnotations, o.Spec.ExtraLabels = nil, nil
	case *khv1.KuberhealthyJob:
		o.Spec.PodSpec = trimTemplate(o.Spec.PodSpec)
		o.Spec.ExtraAnnotations, o.Spec.ExtraLabels = nil, nil
	case *khv1.KuberhealthyState:
		o.Spec.Errors = trimErrors(o.Spec.Errors)
	case *khv2.HealthCheck:
		o.Spec.PodSpec = khv2.CheckPodSpec{Spec: trimTemplate(o.Spec.PodSpec.Spec)}
		o.Spec.ExtraAnnotations, o.Spec.ExtraLabels = nil, nil
		o.Status.Errors = trimErrors(o.Status.Errors)
		o.Status.AdditionalMetadata = ""
	case *v1alpha1.Check:
		if t := o.Spec.PodTemplate; t != nil {
			var spec corev1.PodSpec
			for _, c := range t.Spec.Containers {
				spec.Containers = append(spec.Containers, corev1.Container{Name: c.Name, Image: c.Image})
			}
			o.Spec.PodTemplate = &corev1.PodTemplateSpec{Spec: spec}
		}
		if o.Spec.Synthetic != nil {
			o.Spec.Synthetic.Parameters = nil
		}
		trimProbe(&o.Spec)
	case *v1alpha1.CheckRecord:
		o.Outcomes = o.Outcomes[:min(len(o.Outcomes), maxCheckOutcomes)]
		o.Hours, o.Days = nil, nil
	}
}

// trimProbe keeps of what a Check asks whom it asks and how: what it sends and expects may hold credentials,
// and so may the query of a URL.
func trimProbe(spec *v1alpha1.CheckSpec) {
	spec.Auth, spec.TLSConfig, spec.Expect = nil, nil, nil
	if spec.Exec != nil {
		spec.Exec.Command = nil
	}
	if spec.HTTPGet != nil {
		spec.HTTPGet.HTTPHeaders = nil
		spec.HTTPGet.Path, _, _ = strings.Cut(spec.HTTPGet.Path, "?")
	}
	if spec.Target == nil || spec.Target.URL == "" {
		return
	}
	u, err := url.Parse(spec.Target.URL)
	if err != nil || u.Host == "" {
		spec.Target.URL = ""
		return
	}
	spec.Target.URL = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// checkerLabels are those that only checker pods have, by who makes them: Maek's operator, Kuberhealthy 2 and
// Kuberhealthy 3.
var checkerLabels = []string{v1alpha1.LabelRunOf, khv1.LabelRunID, khv2.LabelRunID}

// CheckerPod tells that a pod is a single run of a check. How that run ends is its check's result: whoever runs
// checks gives up a pod that does not start, or does not end, and says why.
func CheckerPod(p *corev1.Pod) bool {
	return slices.ContainsFunc(checkerLabels, func(label string) bool { return p.Labels[label] != "" })
}

// podOutline is what is kept of a checker pod's template.
type podOutline struct {
	Containers []containerOutline `json:"containers,omitempty"`
}

type containerOutline struct {
	Name  string `json:"name"`
	Image string `json:"image,omitempty"`
}

// trimTemplate keeps the outline of a pod's spec; of what is no such spec, an empty one.
func trimTemplate(spec runtime.RawExtension) runtime.RawExtension {
	var pod corev1.PodSpec
	if json.Unmarshal(spec.Raw, &pod) != nil {
		return runtime.RawExtension{Raw: []byte("{}")}
	}
	var kept podOutline
	for _, c := range pod.Containers {
		kept.Containers = append(kept.Containers, containerOutline{Name: c.Name, Image: c.Image})
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return runtime.RawExtension{Raw: []byte("{}")}
	}
	return runtime.RawExtension{Raw: raw}
}

// CheckerImages are the images of the containers in a check's template, in their order; none where it is no
// pod's.
func CheckerImages(spec runtime.RawExtension) []string {
	var pod podOutline
	if json.Unmarshal(spec.Raw, &pod) != nil {
		return nil
	}
	var images []string
	for _, c := range pod.Containers {
		images = append(images, c.Image)
	}
	return images
}

func trimErrors(errors []string) []string {
	errors = errors[:min(len(errors), maxCheckErrors)]
	for i, text := range errors {
		if len(text) <= maxCheckErrorBytes {
			continue
		}
		text = text[:maxCheckErrorBytes]
		// What is cut in the middle of a word may be half of a credential, which nobody would know for one.
		if space := strings.LastIndexAny(text, " \t\r\n"); space > 0 {
			text = text[:space]
		} else {
			text = ""
		}
		errors[i] = strings.Clone(text) + " …"
	}
	total := 0
	for i, text := range errors {
		if !utf8.ValidString(text) {
			errors[i] = strings.ToValidUTF8(text, "\uFFFD")
		}
		if total += len(errors[i]); total > maxCheckErrorsBytes {
			return errors[:i+1]
		}
	}
	return errors
}

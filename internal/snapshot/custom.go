package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// CustomResource is an object of a kind that a CustomResourceDefinition defines, reduced to what the
// conventions of status promise about any kind: whose generation the controller has seen, and its
// conditions. Nothing else of it is kept.
type CustomResource struct {
	// Kind of the object.
	Kind Kind
	// ObjectMeta, trimmed as that of any object.
	metav1.ObjectMeta
	// ObservedGeneration is .status.observedGeneration; nil where the kind does not write it.
	ObservedGeneration *int64
	// Conditions of .status.conditions.
	Conditions []metav1.Condition
	// Phase in one word, for kinds that have no conditions worth reading: .status.phase, or
	// .status.health.status as Argo CD writes it. Empty where there is none.
	Phase string
	// PhasePath is the field that Phase was read from.
	PhasePath string
	// Suspended tells that people told its controller to leave it: spec.suspend, spec.suspended or
	// spec.paused is true.
	Suspended bool
	// Selects is what a monitor of the Prometheus operator watches; nil for every other kind.
	Selects *MonitorSelection
	// Parents are the conditions that other controllers wrote about it, one set each, as in
	// .status.parents of the Gateway API's routes.
	Parents []ParentStatus
}

// ParentStatus is what the controller of one parent says about an object that refers to it.
type ParentStatus struct {
	// Controller that wrote it, such as example.com/gateway-controller.
	Controller string
	// Parent that it writes for.
	Parent v1alpha1.Subject
	// Conditions that it wrote.
	Conditions []metav1.Condition
}

// MonitorSelection is the Services or pods that a ServiceMonitor or PodMonitor watches.
type MonitorSelection struct {
	// Labels that they carry, .spec.selector.
	Labels metav1.LabelSelector
	// Anywhere tells that they may be in any namespace, .spec.namespaceSelector.any.
	Anywhere bool
	// Namespaces that they are in, .spec.namespaceSelector.matchNames; the monitor's own where empty.
	Namespaces []string
}

// MonitoringGroup is the API group of the Prometheus operator.
const MonitoringGroup = "monitoring.coreos.com"

// selectionOf reads what a monitor watches; nil where it has not the shape of one.
func selectionOf(k Kind, object map[string]any) *MonitorSelection {
	if k.Group != MonitoringGroup || (k.Kind != "ServiceMonitor" && k.Kind != "PodMonitor") {
		return nil
	}
	raw, found, err := unstructured.NestedMap(object, "spec", "selector")
	if !found || err != nil {
		return nil
	}
	m := &MonitorSelection{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &m.Labels); err != nil {
		return nil
	}
	m.Anywhere, _, _ = unstructured.NestedBool(object, "spec", "namespaceSelector", "any")
	m.Namespaces, _, _ = unstructured.NestedStringSlice(object, "spec", "namespaceSelector", "matchNames")
	return m
}

// Subject names the object.
func (r *CustomResource) Subject() v1alpha1.Subject {
	return v1alpha1.Subject{Kind: r.Kind.Kind, Namespace: r.Namespace, Name: r.Name}
}

// customResources are all that was read of kinds that Scheme does not know.
type customResources struct {
	objects  []*CustomResource
	coverage map[Kind]Coverage
}

func (c *customResources) seal() {
	slices.SortStableFunc(c.objects, func(a, b *CustomResource) int {
		return cmp.Or(CompareKinds(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	c.objects = slices.CompactFunc(c.objects, func(a, b *CustomResource) bool {
		return a.Kind == b.Kind && a.Namespace == b.Namespace && a.Name == b.Name
	})
}

// CustomResources returns all custom resources, sorted by kind, namespace and name. They are shared:
// do not write to them.
func (s *Snapshot) CustomResources() []*CustomResource {
	s.checkCustom()
	return s.custom.objects
}

// CustomKinds returns the kinds of custom resources that somebody tried to read, sorted.
func (s *Snapshot) CustomKinds() []Kind {
	s.checkCustom()
	return slices.SortedFunc(maps.Keys(s.custom.coverage), CompareKinds)
}

// CustomCoverage says how far a kind of custom resources was read.
func (s *Snapshot) CustomCoverage(k Kind) Coverage {
	s.checkCustom()
	if c, ok := s.custom.coverage[k]; ok {
		return c
	}
	return Coverage{State: NotCollected}
}

func (s *Snapshot) checkCustom() {
	if s.allowed != nil && !s.customAllowed {
		panic("custom resources are read but not declared")
	}
}

// WithCustomResources returns a restricted view through which custom resources can be read too.
func (s *Snapshot) WithCustomResources() *Snapshot {
	view := *s
	view.customAllowed = true
	return &view
}

// AddCustom takes in a custom resource.
func (b *Builder) AddCustom(r *CustomResource) {
	b.state.custom.objects = append(b.state.custom.objects, r)
}

// SetCustomCoverage records how far a kind of custom resources was read.
func (b *Builder) SetCustomCoverage(k Kind, c Coverage) {
	if b.state.custom.coverage == nil {
		b.state.custom.coverage = map[Kind]Coverage{}
	}
	b.state.custom.coverage[k] = c
}

// ReduceCustom keeps of an object what a CustomResource holds. What does not have the shape that the
// conventions promise is left out, for anybody may write a CustomResourceDefinition; the error tells
// of an object without a name.
func ReduceCustom(k Kind, u *unstructured.Unstructured) (*CustomResource, error) {
	r := &CustomResource{Kind: k}
	raw, _, err := unstructured.NestedMap(u.Object, "metadata")
	if err != nil {
		return nil, fmt.Errorf("reading the metadata of a %s: %w", k.Kind, err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &r.ObjectMeta); err != nil {
		return nil, fmt.Errorf("reading the metadata of a %s: %w", k.Kind, err)
	}
	if r.Name == "" {
		return nil, errors.New("a " + k.Kind + " has no name")
	}
	r.ManagedFields = trimManagedFields(r.ManagedFields)
	r.Annotations = trimAnnotations(r.Annotations)
	if seen, ok, err := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); ok && err == nil {
		r.ObservedGeneration = &seen
	}
	r.Conditions = conditionsAt(u.Object, "status", "conditions")
	r.Phase, r.PhasePath = phaseOf(u.Object)
	for _, field := range []string{"suspend", "suspended", "paused"} {
		told, _, _ := unstructured.NestedBool(u.Object, "spec", field)
		r.Suspended = r.Suspended || told
	}
	r.Selects = selectionOf(k, u.Object)
	parents, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
	for _, p := range parents {
		m, ok := p.(map[string]any)
		if !ok {
			continue
		}
		ps := ParentStatus{Conditions: conditionsAt(m, "conditions")}
		ps.Controller, _, _ = unstructured.NestedString(m, "controllerName")
		ps.Parent.Kind, _, _ = unstructured.NestedString(m, "parentRef", "kind")
		ps.Parent.Name, _, _ = unstructured.NestedString(m, "parentRef", "name")
		ps.Parent.Namespace, _, _ = unstructured.NestedString(m, "parentRef", "namespace")
		ps.Parent.Kind = cmp.Or(ps.Parent.Kind, "Gateway")
		ps.Parent.Namespace = cmp.Or(ps.Parent.Namespace, r.Namespace)
		r.Parents = append(r.Parents, ps)
	}
	return r, nil
}

// phaseBytes bounds a phase: a longer text is none, and may hold what nobody should keep.
const phaseBytes = 40

func phaseOf(object map[string]any) (phase, path string) {
	for _, fields := range [][]string{{"status", "phase"}, {"status", "health", "status"}} {
		word, _, _ := unstructured.NestedString(object, fields...)
		if word != "" && len(word) <= phaseBytes {
			return word, "." + strings.Join(fields, ".")
		}
	}
	return "", ""
}

// conditionsAt reads a list of conditions, leaving out what is none.
func conditionsAt(object map[string]any, path ...string) []metav1.Condition {
	list, _, _ := unstructured.NestedSlice(object, path...)
	var out []metav1.Condition
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		var c metav1.Condition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, &c); err == nil && c.Type != "" {
			out = append(out, c)
		}
	}
	return out
}

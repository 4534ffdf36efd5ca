package bundle

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Custom resources lie in a bundle as the lists that kubectl prints, in custom/GROUP/RESOURCE.json,
// reduced to what a snapshot holds of them. Read are objects of such kinds wherever they lie.

// customFolder is the folder that Write puts them into.
const customFolder = "custom"

// communityGroups are groups of Kubernetes' own projects that CustomResourceDefinitions define
// (https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/2337-k8s.io-group-protection).
// All others below k8s.io are built in, aggregated or of configuration files.
var communityGroups = map[string]bool{
	"gateway.networking.k8s.io": true, "policy.networking.k8s.io": true, "snapshot.storage.k8s.io": true,
	"groupsnapshot.storage.k8s.io": true, "autoscaling.k8s.io": true, "app.k8s.io": true,
}

// mayBeCustom tells whether a CustomResourceDefinition can define a kind: its group is a domain, and
// not one of Kubernetes itself.
func mayBeCustom(gvk schema.GroupVersionKind) bool {
	switch {
	case !strings.Contains(gvk.Group, "."), snapshot.Scheme.IsGroupRegistered(gvk.Group), gvk.Kind == "":
		return false
	case strings.HasSuffix(gvk.Group, ".k8s.io"):
		return communityGroups[gvk.Group]
	default:
		return true
	}
}

// reduceCustom reads a custom resource from JSON.
func reduceCustom(gvk schema.GroupVersionKind, raw []byte) (*snapshot.CustomResource, error) {
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(raw, &u.Object); err != nil {
		return nil, err
	}
	r, err := snapshot.ReduceCustom(customKind(gvk), u)
	if err != nil {
		return nil, err
	}
	collect.CleanCustom(r)
	return r, nil
}

// customKind is a kind under the plural that its name suggests, until the whole bundle is read.
func customKind(gvk schema.GroupVersionKind) snapshot.Kind {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return snapshot.Kind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Resource: plural.Resource}
}

// customs gathers the custom resources of a bundle.
type customs struct {
	kinds   map[snapshot.Kind]*sighting
	objects []*snapshot.CustomResource
	// plurals are the resources' true names, by group and kind, as definitions tell them.
	plurals map[schema.GroupKind]string
}

// define learns a plural from a definition.
func (c *customs) define(o snapshot.Object) {
	if crd, ok := o.(*apiextensionsv1.CustomResourceDefinition); ok {
		c.plurals[schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind}] = crd.Spec.Names.Plural
	}
}

// named gives a kind its true plural.
func (c *customs) named(k snapshot.Kind) snapshot.Kind {
	if plural := c.plurals[schema.GroupKind{Group: k.Group, Kind: k.Kind}]; plural != "" {
		k.Resource = plural
	}
	return k
}

func (c *customs) sighting(gvk schema.GroupVersionKind) *sighting {
	k := customKind(gvk)
	s, ok := c.kinds[k]
	if !ok {
		s = newSighting()
		c.kinds[k] = s
	}
	return s
}

// addCustom puts what was gathered into the snapshot, with how far each kind counts as read.
func (r *reader) addCustom() {
	recorded := map[snapshot.Kind]bool{}
	if r.manifest != nil {
		for _, record := range r.manifest.CustomKinds {
			k := record.kind()
			r.custom.plurals[schema.GroupKind{Group: k.Group, Kind: k.Kind}] = k.Resource
			recorded[k] = true
			r.builder.SetCustomCoverage(k, recordedCoverage(record, r.custom.kinds[customKind(k.GroupVersionKind())]))
		}
	}
	only := r.onlyNamespace()
	for guessed, s := range r.custom.kinds {
		k := r.custom.named(guessed)
		if recorded[k] || r.besideTheCluster(s) {
			continue
		}
		c := r.coverage(s.inNamespaces(), s, only)
		c.ReadAt = r.clock.moment()
		r.builder.SetCustomCoverage(k, c)
	}
	for _, o := range r.custom.objects {
		if r.besideTheCluster(r.custom.kinds[o.Kind]) {
			continue
		}
		o.Kind = r.custom.named(o.Kind)
		r.builder.AddCustom(o)
	}
}

// besideTheCluster tells whether a kind was seen only in files that a support bundle has about itself.
func (r *reader) besideTheCluster(s *sighting) bool {
	return r.layout.supportBundle && !s.supportBundle
}

// customRecords are the manifest's entries for the kinds of custom resources.
func customRecords(s *snapshot.Snapshot) []kindRecord {
	count := map[snapshot.Kind]int{}
	for _, o := range s.CustomResources() {
		count[o.Kind]++
	}
	kinds := s.CustomKinds()
	for k := range maps.Keys(count) {
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	slices.SortFunc(kinds, snapshot.CompareKinds)
	var out []kindRecord
	for _, k := range kinds {
		record := kindRecord{
			Group: k.Group, Version: k.Version, Kind: k.Kind, Resource: k.Resource,
			Coverage: s.CustomCoverage(k), Objects: count[k],
		}
		if record.Objects > 0 {
			record.File = path.Join(customFolder, k.Group, k.Resource+".json")
		}
		out = append(out, record)
	}
	return out
}

// customObject is how a custom resource is written: as kubectl would print it, if nothing else were in
// it. Reading it with snapshot.ReduceCustom gives the same again.
type customObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     customSpec        `json:"spec,omitzero"`
	Status   customStatus      `json:"status,omitzero"`
}

type customSpec struct {
	Suspend           bool                  `json:"suspend,omitempty"`
	Selector          *metav1.LabelSelector `json:"selector,omitempty"`
	NamespaceSelector *namespaceSelector    `json:"namespaceSelector,omitempty"`
}

// namespaceSelector is that of a ServiceMonitor or PodMonitor.
type namespaceSelector struct {
	Any        bool     `json:"any,omitempty"`
	MatchNames []string `json:"matchNames,omitempty"`
}

type customStatus struct {
	ObservedGeneration *int64             `json:"observedGeneration,omitempty"`
	Phase              string             `json:"phase,omitempty"`
	Health             customHealth       `json:"health,omitzero"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Parents            []customParent     `json:"parents,omitempty"`
}

// customHealth is where Argo CD writes its phase.
type customHealth struct {
	Status string `json:"status,omitempty"`
}

type customParent struct {
	ControllerName string             `json:"controllerName,omitempty"`
	ParentRef      parentRef          `json:"parentRef"`
	Conditions     []metav1.Condition `json:"conditions,omitempty"`
}

type parentRef struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

func customObjectOf(r *snapshot.CustomResource) customObject {
	o := customObject{
		TypeMeta: metav1.TypeMeta{APIVersion: r.Kind.GroupVersionKind().GroupVersion().String(), Kind: r.Kind.Kind},
		Metadata: r.ObjectMeta, Spec: customSpec{Suspend: r.Suspended},
		Status: customStatus{ObservedGeneration: r.ObservedGeneration, Conditions: r.Conditions},
	}
	if strings.HasPrefix(r.PhasePath, ".status.health") {
		o.Status.Health.Status = r.Phase
	} else {
		o.Status.Phase = r.Phase
	}
	if r.Selects != nil {
		o.Spec.Selector = &r.Selects.Labels
		o.Spec.NamespaceSelector = &namespaceSelector{Any: r.Selects.Anywhere, MatchNames: r.Selects.Namespaces}
	}
	for _, p := range r.Parents {
		o.Status.Parents = append(o.Status.Parents, customParent{
			ControllerName: p.Controller, Conditions: p.Conditions,
			ParentRef: parentRef{Kind: p.Parent.Kind, Namespace: p.Parent.Namespace, Name: p.Parent.Name},
		})
	}
	return o
}

func writeCustomList(w io.Writer, s *snapshot.Snapshot, k snapshot.Kind) error {
	list := listWriter{w: w}
	all := s.CustomResources()
	from, _ := slices.BinarySearchFunc(all, k, func(r *snapshot.CustomResource, k snapshot.Kind) int { return snapshot.CompareKinds(r.Kind, k) })
	for _, r := range all[from:] {
		if r.Kind != k {
			break
		}
		if err := list.add(customObjectOf(r)); err != nil {
			return fmt.Errorf("writing %s %s/%s: %w", k.Kind, r.Namespace, r.Name, err)
		}
	}
	return list.end()
}

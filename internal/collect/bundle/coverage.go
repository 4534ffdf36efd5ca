package bundle

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

type schemaKind = schema.GroupVersionKind

// sighting is what was seen of one kind.
type sighting struct {
	// objects, in lists and alone.
	objects int
	// listed: a list held the kind, or was of it.
	listed bool
	// more: a list says that it goes on.
	more bool
	// broken names a file that held the kind and breaks off.
	broken string
	// namespaces of the objects in lists.
	namespaces map[string]bool
	// files are the namespaces that the layout has a file of.
	files map[string]bool
	// supportBundle: a support bundle listed it.
	supportBundle bool
	// names of Namespace objects.
	names []string
}

func newSighting() *sighting {
	return &sighting{namespaces: map[string]bool{}, files: map[string]bool{}}
}

// inNamespaces tells whether any object in a list has a namespace; an empty list counts as one of
// namespaced objects.
func (s *sighting) inNamespaces() bool {
	return len(s.namespaces) != 1 || !s.namespaces[""]
}

func (s *sighting) object(o metav1.Object, inList bool, p place) {
	s.objects++
	if _, ok := o.(*corev1.Namespace); ok {
		s.names = append(s.names, o.GetName())
	}
	if inList || p.clusterScoped {
		s.list(p)
		s.namespaces[o.GetNamespace()] = true
	}
}

func (s *sighting) list(p place) {
	s.listed = true
	s.supportBundle = s.supportBundle || p.supportBundle
	if p.namespace != "" {
		s.files[p.namespace] = true
	}
}

// cover decides how far each kind was read.
func (r *reader) cover() {
	recorded := map[snapshot.Kind]bool{}
	if r.manifest != nil {
		for _, record := range r.manifest.Kinds {
			k, ok := snapshot.KindFor(record.kind().GroupVersionKind())
			if !ok {
				r.unknown[unknownKind{kind: record.kind().GroupVersionKind().GroupVersion().String() + " " + record.Kind}] += record.Objects
				continue
			}
			recorded[k] = true
			r.builder.SetCoverage(k, recordedCoverage(record, r.kinds[k]))
		}
	}
	only := r.onlyNamespace()
	for k, s := range r.kinds {
		if recorded[k] {
			continue
		}
		c := r.coverage(k.Namespaced(), s, only)
		c.ReadAt = r.clock.moment()
		r.builder.SetCoverage(k, c)
	}
}

// recordedCoverage is the manifest's word on a kind, held against what is really there: nil where it
// appears nowhere.
func recordedCoverage(record kindRecord, s *sighting) snapshot.Coverage {
	c := record.Coverage
	got := 0
	if s != nil {
		got = s.objects
	}
	if got >= record.Objects {
		return c
	}
	c.State = snapshot.Failed
	if got > 0 {
		c.State = snapshot.Partial
	}
	c.Reason = fmt.Sprintf("the bundle holds %d of the %d objects that its manifest tells of", got, record.Objects)
	return c
}

// coverage of a kind that no manifest tells of. The package's comment has the rules.
func (r *reader) coverage(namespaced bool, s *sighting, only string) snapshot.Coverage {
	part := func(format string, args ...any) snapshot.Coverage {
		return snapshot.Coverage{State: snapshot.Partial, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.broken != "":
		return part("%s breaks off", s.broken)
	case r.cut:
		return part("the archive is cut off, and more may have followed")
	case s.more:
		return part("the list in the bundle says that it goes on")
	case !s.listed:
		return part("the bundle holds single objects, no list")
	case !namespaced:
		return snapshot.Coverage{State: snapshot.Complete}
	case s.supportBundle:
		return r.supportBundleCoverage(s)
	case len(r.layout.gathered) > 0:
		return part("the must-gather covers the namespaces %s", joined(r.layout.gathered))
	case r.layout.dump:
		if r.layout.dumpNamespaces["kube-public"] && r.layout.dumpNamespaces[corev1.NamespaceNodeLease] {
			return snapshot.Coverage{State: snapshot.Complete}
		}
		c := part("the dump covers the namespaces %s", joined(r.layout.dumpNamespaces))
		if len(r.layout.dumpNamespaces) == 1 {
			c.Namespace = joined(r.layout.dumpNamespaces)
		}
		return c
	case only != "":
		c := part("every list in the bundle is of namespace %s; take them with -A", only)
		c.Namespace = only
		return c
	default:
		return snapshot.Coverage{State: snapshot.Complete}
	}
}

// supportBundleCoverage holds the namespaces that a kind has files of against all there are.
func (r *reader) supportBundleCoverage(s *sighting) snapshot.Coverage {
	all, ok := r.kinds[snapshot.KindOf[*corev1.Namespace]()]
	if !ok {
		return snapshot.Coverage{State: snapshot.Partial, Reason: "the support bundle does not list the cluster's namespaces"}
	}
	lacking := map[string]bool{}
	for _, name := range all.names {
		if !s.files[name] {
			lacking[name] = true
		}
	}
	if len(lacking) > 0 {
		return snapshot.Coverage{State: snapshot.Partial, Reason: "the support bundle lacks the namespaces " + joined(lacking)}
	}
	return snapshot.Coverage{State: snapshot.Complete}
}

// onlyNamespace is the one namespace that all lists of namespaced kinds are in; empty where there
// are several.
func (r *reader) onlyNamespace() string {
	seen := map[string]bool{}
	for k, s := range r.kinds {
		if k.Namespaced() {
			maps.Copy(seen, s.namespaces)
		}
	}
	if len(seen) != 1 {
		return ""
	}
	return joined(seen)
}

// joined names the members of a set, at most a handful.
func joined(set map[string]bool) string {
	const handful = 5
	names := slices.Sorted(maps.Keys(set))
	if len(names) > handful {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:handful], ", "), len(names)-handful)
	}
	return strings.Join(names, ", ")
}

// supportBundleKinds are the kinds behind the names that support bundles give their files, where
// that is not the resource's own name.
var supportBundleNames = map[string]string{
	"pvcs": "persistentvolumeclaims", "pvs": "persistentvolumes", "ingress": "ingresses", "network-policy": "networkpolicies",
	"pod-disruption-budgets": "poddisruptionbudgets", "resource-quota": "resourcequotas", "storage-classes": "storageclasses",
	"ingress-classes": "ingressclasses",
}

// readErrors takes in a support bundle's record of a list that failed: a map from namespace to error,
// or a list of errors.
func (r *reader) readErrors(p place, content io.Reader) {
	data, err := io.ReadAll(bounded(content, maxManifestBytes))
	if err != nil {
		return
	}
	var byNamespace map[string]string
	var plainList []string
	if json.Unmarshal(data, &byNamespace) != nil && json.Unmarshal(data, &plainList) != nil {
		return
	}
	for _, ns := range slices.Sorted(maps.Keys(byNamespace)) {
		plainList = append(plainList, ns+": "+byNamespace[ns])
	}
	if len(plainList) == 0 {
		return
	}
	resource := p.resource
	if name, ok := supportBundleNames[resource]; ok {
		resource = name
	}
	r.gaps.add("", "the support bundle could not list %s: %s", "support bundle이 %s 목록을 읽지 못했습니다: %s", resource, short(fmt.Errorf("%s", plainList[0])))
}

// skips are all gaps, for people.
func (r *reader) skips() []finding.Skip {
	unknown := map[string]int{}
	for k, n := range r.unknown {
		if !r.layout.supportBundle || k.inClusterResources {
			unknown[k.kind] += n
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(unknown)) {
		r.gaps.add("", "%s: this version of Maek does not know the kind; objects left out: %d", "%s: 이 버전의 Maek이 모르는 종류이므로 객체 %d개를 제외합니다", kind, unknown[kind])
	}
	out := r.gaps.skips(r.layout.matters)
	if r.manifest != nil {
		for _, m := range r.manifest.Missing {
			out = append(out, m.skip())
		}
	}
	return out
}

// firstGap tells, for the error about a bundle without objects, what was wrong with the first file.
func (r *reader) firstGap() string {
	for _, s := range r.skips() {
		return " (" + s.Reason.EN + ")"
	}
	return ""
}

// short is an error on one line of bearable length.
func short(err error) string {
	const bearable = 200
	text := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "\uFFFD")), " ")
	if len(text) > bearable {
		text = strings.ToValidUTF8(text[:bearable], "") + " …"
	}
	return text
}

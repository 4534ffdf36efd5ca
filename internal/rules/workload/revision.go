package workload

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// change is one field in which the pod templates of two revisions differ.
type change struct {
	// Path within the pod template, such as .spec.containers[app].image.
	Path string
	// Old value; empty where the older template has none, and for a literal environment value,
	// which may be a password.
	Old string
	// New value; empty where the newer template has none, and for a literal environment value.
	New string
	// Kind of change.
	Kind changeKind
}

// changeKind says whether both templates have the field.
type changeKind int

const (
	changed changeKind = iota
	added
	removed
)

// listKeys names, for the lists of a pod template, the field by which their items are told apart:
// the patch merge keys of k8s.io/api/core/v1, types.go. A list that is not here changes as a whole.
var listKeys = map[string]string{
	"containers": "name", "initContainers": "name", "volumes": "name", "imagePullSecrets": "name",
	"env": "name", "volumeMounts": "mountPath", "ports": "containerPort",
}

// templateChanges returns the fields in which two pod templates differ, what most often breaks a
// rollout first: image, command, arguments, environment, probes, resources, volumes, service
// account, then the rest. It never returns the value of an environment variable.
func templateChanges(older, newer *corev1.PodTemplateSpec) []change {
	var changes []change
	compareMaps("", fieldsOf(older), fieldsOf(newer), &changes)
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.Path, b.Path))
	})
	return changes
}

// fieldsOf turns a template into the maps and lists of its JSON form, without what every revision
// has differently or twice.
func fieldsOf(t *corev1.PodTemplateSpec) map[string]any {
	t = t.DeepCopy()
	delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	t.Spec.DeprecatedServiceAccount = ""
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(t)
	if err != nil {
		return nil
	}
	return fields
}

func compareMaps(path string, older, newer map[string]any, out *[]change) {
	keys := map[string]bool{}
	for k := range older {
		keys[k] = true
	}
	for k := range newer {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		at := path + "." + k
		if strings.ContainsAny(k, "./") {
			at = path + "[" + k + "]"
		}
		o, hadOld := older[k]
		n, hasNew := newer[k]
		compareField(at, listKeys[k], field{o, hadOld}, field{n, hasNew}, out)
	}
}

// field is a value that may be absent.
type field struct {
	value any
	there bool
}

func compareField(path, key string, older, newer field, out *[]change) {
	oldMap, wasMap := older.value.(map[string]any)
	newMap, isMap := newer.value.(map[string]any)
	if wasMap && isMap {
		compareMaps(path, oldMap, newMap, out)
		return
	}
	if only := len(oldMap) + len(newMap); only == 1 && (wasMap || !older.there) && (isMap || !newer.there) {
		compareMaps(path, oldMap, newMap, out)
		return
	}
	oldList, _ := older.value.([]any)
	newList, _ := newer.value.([]any)
	if key != "" && (oldList != nil || newList != nil) {
		compareItems(path, itemsBy(key, oldList), itemsBy(key, newList), out)
		return
	}
	c := change{Path: path}
	switch {
	case !older.there:
		c.Kind = added
	case !newer.there:
		c.Kind = removed
	}
	was, is := show(older.value), show(newer.value)
	if was == is && c.Kind == changed {
		return
	}
	if !secretive(path) {
		c.Old, c.New = was, is
	}
	*out = append(*out, c)
}

func compareItems(path string, older, newer map[string]any, out *[]change) {
	keys := maps.Clone(older)
	maps.Copy(keys, newer)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		at := path + "[" + k + "]"
		o, hadOld := older[k]
		n, hasNew := newer[k]
		compareField(at, "", field{o, hadOld}, field{n, hasNew}, out)
	}
}

func itemsBy(key string, list []any) map[string]any {
	out := make(map[string]any, len(list))
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out[fmt.Sprint(m[key])] = m
		}
	}
	return out
}

// secretive tells whether the value at a path holds literal environment values.
func secretive(path string) bool {
	return strings.Contains(path, ".env[") || (strings.Contains(path, "ontainers[") && strings.HasSuffix(path, "]"))
}

// show renders a value of a template on one line.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		words := make([]string, 0, len(v))
		for _, item := range v {
			word, ok := item.(string)
			if !ok {
				return asJSON(v)
			}
			words = append(words, word)
		}
		return strings.Join(words, " ")
	default:
		return asJSON(v)
	}
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// ranks are the parts of a template by how often a change to them breaks a rollout.
var ranks = []string{
	".image", ".command", ".args", ".env", "Probe", ".resources", ".volume", ".serviceAccountName", ".spec",
}

func (c change) rank() int {
	for i, part := range ranks {
		if strings.Contains(c.Path, part) {
			return i
		}
	}
	return len(ranks)
}

// text says what changed, in a few words.
func (c change) text() finding.Text {
	name := strings.TrimPrefix(c.Path, ".spec.")
	was, is := clip(c.Old, changeRunes), clip(c.New, changeRunes)
	if strings.HasSuffix(c.Path, "].image") {
		was, is = shortImages(was, is)
	}
	switch {
	case c.Kind == added && is == "":
		return finding.Textf("%s added", "%s 추가", name)
	case c.Kind == added:
		return finding.Textf("%s added: %s", "%s 추가: %s", name, is)
	case c.Kind == removed && was == "":
		return finding.Textf("%s removed", "%s 삭제", name)
	case c.Kind == removed:
		return finding.Textf("%s removed (was %s)", "%s 삭제(이전 값 %s)", name, was)
	case was == "" && is == "":
		return finding.Textf("%s changed", "%s 변경", name)
	default:
		return finding.Textf("%s changed %s -> %s", "%s 변경: %s -> %s", name, was, is)
	}
}

const (
	// changeRunes bounds each value of a change in a sentence.
	changeRunes = 80
	// changesTold is how many changes one sentence names; the others are counted.
	changesTold = 3
)

// tellChanges lists changes in one sentence; no change gives the empty text.
func tellChanges(changes []change) finding.Text {
	var texts []finding.Text
	for _, c := range changes[:min(len(changes), changesTold)] {
		texts = append(texts, c.text())
	}
	if more := len(changes) - changesTold; more > 0 {
		texts = append(texts, finding.Textf("and %d more", "그 밖에 %d개", more))
	}
	return finding.Join(", ", texts...)
}

// shortImages drops from two references what they share before the tag or digest.
func shortImages(a, b string) (string, string) {
	x, y := snapshot.ParseImage(a), snapshot.ParseImage(b)
	if x.Repository != y.Repository || x.Tag == "" || y.Tag == "" {
		return a, b
	}
	return x.Tag, y.Tag
}

// revision is the newest ReplicaSet of a Deployment beside the one that it replaces.
type revision struct {
	// Newest ReplicaSet, by its revision.
	Newest *appsv1.ReplicaSet
	// Previous ReplicaSet: the newest other one that still has Ready pods, else the next older
	// revision; nil where the Deployment has only one.
	Previous *appsv1.ReplicaSet
	// PreviousReady is the number of Ready pods of Previous.
	PreviousReady int
	// Images are the changes that pods show, where Newest and Previous are not known.
	Images []change
	// By is the field manager that brought Newest, and At when; zero where the objects do not say.
	By string
	At time.Time
}

// writeToReplicaSet bounds the time from a write to a Deployment to the ReplicaSet that the
// Deployment controller makes of it. A later ReplicaSet is another write's doing.
const writeToReplicaSet = time.Minute

// revisionOf compares the newest revision of a Deployment with the one before it; false where the
// Deployment has no ReplicaSet. It counts pods itself and does not read status fields, which are
// fossils when the controller manager is dead.
func revisionOf(s *snapshot.Snapshot, d *appsv1.Deployment) (revision, bool) {
	sets := s.ReplicaSetsOf(d)
	if len(sets) == 0 {
		return revision{}, false
	}
	r := revision{Newest: sets[0]}
	ready := map[string]int{}
	for _, p := range s.PodsOf(snapshot.SubjectOf(d)) {
		if snapshot.PodReady(p) {
			ready[controllerOf(p)]++
		}
	}
	for _, rs := range sets[1:] {
		if r.Previous == nil || (r.PreviousReady == 0 && ready[rs.Name] > 0) {
			r.Previous, r.PreviousReady = rs, ready[rs.Name]
		}
	}
	if r.Previous == nil {
		return r, true
	}
	by, at := snapshot.LastManager(d)
	made := r.Newest.CreationTimestamp.Time
	switch {
	case snapshot.TakenUpAgain(r.Newest):
		r.By, r.At = by, at
	case !made.After(r.Previous.CreationTimestamp.Time):
	case !at.After(made) && made.Sub(at) <= writeToReplicaSet:
		r.By, r.At = by, at
	default:
		r.At = made
	}
	return r, true
}

// began is when the newest revision was asked for, as far as the objects say.
func (r revision) began() time.Time {
	if r.At.IsZero() && !snapshot.TakenUpAgain(r.Newest) {
		return r.Newest.CreationTimestamp.Time
	}
	return r.At
}

// changes of the pod template from Previous to Newest. They are looked for when asked for: most
// Deployments are never asked.
func (r revision) changes() []change {
	if r.Newest == nil || r.Previous == nil {
		return r.Images
	}
	return templateChanges(&r.Previous.Spec.Template, &r.Newest.Spec.Template)
}

// text says what the newest revision changed, when and by whom; empty where there is nothing to
// compare with.
func (r revision) text(now time.Time) finding.Text {
	what := tellChanges(r.changes())
	if what.IsZero() || r.Newest == nil {
		return what
	}
	number := snapshot.Revision(r.Newest)
	switch {
	case r.By != "":
		return finding.Join(" ", what, finding.Textf("at %s by %q (revision %d)", "(%s, %q, revision %d)", finding.Clock(now, r.At), r.By, number))
	case !r.At.IsZero():
		return finding.Join(" ", what, finding.Textf("at %s (revision %d)", "(%s, revision %d)", finding.Clock(now, r.At), number))
	default:
		return finding.Join(" ", what, finding.Textf("(revision %d)", "(revision %d)", number))
	}
}

// evidence is where the newest revision is seen; none where only its pods show it.
func (r revision) evidence() []finding.Evidence {
	if r.Newest == nil {
		return nil
	}
	return []finding.Evidence{{
		Source: finding.Named(snapshot.SubjectOf(r.Newest)), Path: ".spec.template",
		Value: finding.Quote(tellChanges(r.changes()).EN), At: finding.Timestamp(r.At),
	}}
}

// imageChanges compares the images of two pods of a workload whose revisions are not read, such
// as a StatefulSet. Other fields of a pod are partly written by admission and do not compare.
func imageChanges(older, newer *corev1.Pod) []change {
	images := func(p *corev1.Pod) *corev1.PodTemplateSpec {
		var t corev1.PodTemplateSpec
		for _, c := range p.Spec.InitContainers {
			t.Spec.InitContainers = append(t.Spec.InitContainers, corev1.Container{Name: c.Name, Image: c.Image})
		}
		for _, c := range p.Spec.Containers {
			t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: c.Name, Image: c.Image})
		}
		return &t
	}
	return templateChanges(images(older), images(newer))
}

package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Snapshot is all evidence about one cluster at one moment. It is safe for concurrent readers.
type Snapshot struct {
	*state

	// allowed are the kinds that may be read through this view; nil means every kind.
	allowed map[Kind]bool
	// allowedKeys are patterns of the machine evidence that a restricted view shows.
	allowedKeys []EvidenceKey
	// customAllowed tells whether a restricted view shows custom resources.
	customAllowed bool
}

// state is what all views of a snapshot share.
type state struct {
	at       time.Time
	source   Source
	api      API
	tables   map[Kind]*table
	answers  map[Question]Answer
	machines map[string]*MachineReport
	// unreported are the nodes whose machines gave no report, and why.
	unreported map[string]string
	custom     customResources
	expected   []ExpectedNode
	index      *index
	// derived is what Derived keeps, by type.
	derived *sync.Map
}

// Source says where a snapshot comes from.
type Source struct {
	// Name under which people know it: a kubeconfig context, a bundle's path.
	Name string `json:"name"`
	// Live tells whether it was read from a cluster just now, so that questions can be asked.
	Live bool `json:"live"`
	// Machine is the node of the one machine that was looked at, where the machine was the purpose and
	// not the cluster: what the API server would have told is then not missed.
	Machine string `json:"machine,omitempty"`
}

// table holds what was read of one kind.
type table struct {
	*rows

	coverage Coverage
}

// Now is the moment of the snapshot by the cluster's own clock (or the bundle's), never the
// reader's. Ages are counted from it.
func (s *Snapshot) Now() time.Time { return s.at }

// Source of the snapshot.
func (s *Snapshot) Source() Source { return s.source }

// API is what was seen of the API server itself.
func (s *Snapshot) API() API { return s.api }

// Kinds that somebody tried to read, sorted.
func (s *Snapshot) Kinds() []Kind {
	return slices.SortedFunc(maps.Keys(s.tables), CompareKinds)
}

// Coverage of a kind.
func (s *Snapshot) Coverage(k Kind) Coverage {
	if t, ok := s.tables[k]; ok {
		return t.coverage
	}
	return Coverage{State: NotCollected}
}

// Len is the number of objects of a kind.
func (s *Snapshot) Len(k Kind) int {
	if t, ok := s.tables[k]; ok {
		return len(t.objects)
	}
	return 0
}

// Restrict returns a view through which only the named kinds and the machine evidence that fits a
// key pattern can be read. Reading another kind panics: a rule that looks at what it did not
// declare is wrong, however well it works on the day.
func (s *Snapshot) Restrict(kinds []Kind, keys []EvidenceKey) *Snapshot {
	allowed := make(map[Kind]bool, len(kinds))
	for _, k := range kinds {
		allowed[k] = true
	}
	return &Snapshot{state: s.state, allowed: allowed, allowedKeys: keys}
}

func (s *Snapshot) table(k Kind) *table {
	if s.allowed != nil && !s.allowed[k] {
		panic(fmt.Sprintf("%s is read but not declared", k))
	}
	return s.tables[k]
}

// List returns the objects of a type, sorted by namespace and name. They are shared: do not write
// to them.
func List[T Object](s *Snapshot) []T {
	t := s.table(KindOf[T]())
	if t == nil {
		return nil
	}
	return typedRows[T](t.rows)
}

// Get returns an object by name; namespace is empty for cluster-scoped kinds. Whether absence
// means anything is the Coverage's to say.
func Get[T Object](s *Snapshot, namespace, name string) (T, bool) {
	var zero T
	t := s.table(KindOf[T]())
	if t == nil {
		return zero, false
	}
	i, ok := t.place(types.NamespacedName{Namespace: namespace, Name: name})
	if !ok {
		return zero, false
	}
	v, ok := t.objects[i].(T)
	return v, ok
}

// Builder fills a snapshot. It is not safe for concurrent use.
type Builder struct {
	state state
}

// NewBuilder begins a snapshot at a moment of the cluster's clock.
func NewBuilder(at time.Time, source Source) *Builder {
	return &Builder{state: state{
		at: at, source: source,
		tables: map[Kind]*table{}, answers: map[Question]Answer{}, machines: map[string]*MachineReport{}, unreported: map[string]string{}, index: &index{}, derived: &sync.Map{},
	}}
}

// SetAPI records what was seen of the API server.
func (b *Builder) SetAPI(api API) { b.state.api = api }

// SetTime moves the snapshot's moment, for sources that learn it only after reading.
func (b *Builder) SetTime(at time.Time) { b.state.at = at }

// SetSource names where the snapshot comes from, for sources that learn it only after reading.
func (b *Builder) SetSource(source Source) { b.state.source = source }

// Add takes an object in, trimmed of what no rule reads. It returns false for a type that Scheme
// does not know. A second object of the same name replaces the first.
func (b *Builder) Add(obj runtime.Object) bool {
	o, ok := obj.(Object)
	if !ok {
		return false
	}
	k, ok := KindOfObject(obj)
	if !ok {
		return false
	}
	Trim(o)
	t := b.tableOf(k)
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	if i, twice := t.byName[key]; twice {
		t.objects[i] = o
		return true
	}
	t.byName[key] = len(t.objects)
	t.objects = append(t.objects, o)
	return true
}

// SetCoverage records how far a kind was read.
func (b *Builder) SetCoverage(k Kind, c Coverage) { b.tableOf(k).coverage = c }

func (b *Builder) tableOf(k Kind) *table {
	t, ok := b.state.tables[k]
	if !ok {
		t = &table{rows: &rows{byName: map[types.NamespacedName]int{}}}
		b.state.tables[k] = t
	}
	return t
}

// Build ends the filling and returns the snapshot. The builder must not be used after.
func (b *Builder) Build() *Snapshot {
	for _, t := range b.state.tables {
		t.seal()
	}
	b.state.custom.seal()
	return &Snapshot{state: &b.state}
}

// With returns a snapshot that also holds the given answers. The rest is shared.
func (s *Snapshot) With(answers map[Question]Answer) *Snapshot {
	next := &state{
		at: s.at, source: s.source, api: s.api, tables: s.tables, machines: s.machines, unreported: s.unreported,
		custom: s.custom, expected: s.expected, answers: maps.Clone(s.answers), index: s.index, derived: s.derived,
	}
	maps.Copy(next.answers, answers)
	return &Snapshot{state: next, allowed: s.allowed, allowedKeys: s.allowedKeys, customAllowed: s.customAllowed}
}

// Each calls f for every object of a kind, in order.
func (s *Snapshot) Each(k Kind, f func(Object)) {
	if t := s.table(k); t != nil {
		for _, o := range t.objects {
			f(o)
		}
	}
}

package snapshot

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// rows are the objects of one kind, sorted by namespace and name once they are sealed. Sealed rows may be
// part of many snapshots.
type rows struct {
	objects []Object
	// sealed rows are sorted, and are not written to any more.
	sealed bool

	named  sync.Once
	byName map[types.NamespacedName]int

	once  sync.Once
	typed any // []T of the one Go type of the kind
}

// seal ends the filling of rows that a Builder made.
func (r *rows) seal() {
	if r.sealed {
		return
	}
	r.sealed = true
	slices.SortStableFunc(r.objects, compareObjects)
	r.named.Do(func() { r.index() })
}

func (r *rows) index() {
	if r.byName == nil {
		r.byName = make(map[types.NamespacedName]int, len(r.objects))
	}
	for i, o := range r.objects {
		r.byName[nameOf(o)] = i
	}
}

// place is where an object of a name is.
func (r *rows) place(name types.NamespacedName) (int, bool) {
	r.named.Do(func() { r.index() })
	i, ok := r.byName[name]
	return i, ok
}

// typedRows are the objects of the rows as their one Go type.
func typedRows[T Object](r *rows) []T {
	r.once.Do(func() {
		typed := make([]T, 0, len(r.objects))
		for _, o := range r.objects {
			if v, ok := o.(T); ok {
				typed = append(typed, v)
			}
		}
		r.typed = typed
	})
	typed, _ := r.typed.([]T)
	return typed
}

func nameOf(o Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func compareObjects(a, b Object) int { return compareNames(nameOf(a), nameOf(b)) }

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// search finds where in sorted objects one of a name is, or would be.
func search(sorted []Object, name types.NamespacedName) (int, bool) {
	return slices.BinarySearchFunc(sorted, name, func(o Object, name types.NamespacedName) int { return compareNames(nameOf(o), name) })
}

// Table is an immutable set of objects of one kind, for whoever keeps them from one snapshot to the next:
// what changed makes a new Table, and the rest is shared. The objects must be trimmed, and never be
// written to. The zero Table is empty.
type Table struct {
	rows *rows
}

// Len is the number of objects.
func (t Table) Len() int {
	if t.rows == nil {
		return 0
	}
	return len(t.rows.objects)
}

// All objects, sorted by namespace and name. They are shared: do not write to them.
func (t Table) All() []Object {
	if t.rows == nil {
		return nil
	}
	return t.rows.objects
}

// Get returns the object of a name.
func (t Table) Get(name types.NamespacedName) (Object, bool) {
	all := t.All()
	i, found := search(all, name)
	if !found {
		return nil, false
	}
	return all[i], true
}

// With returns a table in which the objects of the given names are as given, or gone where nil is given.
// It costs one pass over the table, and no more than the changes where every name is there already.
func (t Table) With(changes map[types.NamespacedName]Object) Table {
	if len(changes) == 0 && t.rows != nil {
		return t
	}
	names := make([]types.NamespacedName, 0, len(changes))
	for name := range changes {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	old := t.All()
	next := make([]Object, 0, len(old)+len(changes))
	same := t.rows != nil
	for _, name := range names {
		n, found := search(old, name)
		next = append(next, old[:n]...)
		old = old[n:]
		if found {
			old = old[1:]
		}
		if o := changes[name]; o != nil {
			next = append(next, o)
		}
		same = same && found && changes[name] != nil
	}
	next = append(next, old...)
	r := &rows{objects: next, sealed: true}
	if same {
		// Everything is where it was, so that what was looked up stays true.
		t.rows.named.Do(func() { t.rows.index() })
		r.byName = t.rows.byName
		r.named.Do(func() {})
	}
	return Table{rows: r}
}

// SetTable records all objects of a kind, and how far it was read.
func (b *Builder) SetTable(k Kind, t Table, c Coverage) {
	r := t.rows
	if r == nil {
		r = &rows{sealed: true}
	}
	b.state.tables[k] = &table{rows: r, coverage: c}
}

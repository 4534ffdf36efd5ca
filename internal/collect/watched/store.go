package watched

import (
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// renewal is after how many objects beyond four times those that are held a sharer is made anew: it keeps
// a part of every owner that it ever saw.
const renewal = 20_000

// store holds the objects of one kind for a reflector: what the last snapshot showed, and what changed
// since. The reflector writes from one goroutine, and Prepare is only called there.
type store struct {
	kind snapshot.Kind
	// changed is called without the lock after a change that can alter what rules say.
	changed func()
	// replaced is called without the lock after all objects were read anew.
	replaced func()
	// events bounds what is held; nil for all kinds but Event.
	events *events

	sharer *snapshot.Sharer
	shared int

	mu      sync.Mutex
	table   snapshot.Table
	pending map[types.NamespacedName]snapshot.Object
}

var _ cache.TransformingStore = (*store)(nil)

func newStore(k snapshot.Kind, changed, replaced func()) *store {
	s := &store{kind: k, changed: changed, replaced: replaced, sharer: snapshot.NewSharer(), pending: map[types.NamespacedName]snapshot.Object{}}
	if k.Group == "" && k.Kind == "Event" {
		s.events = newEvents()
	}
	return s
}

// Transformer implements cache.TransformingStore: what a reflector gathers for Replace is trimmed as it
// comes.
func (s *store) Transformer() cache.TransformFunc { return s.prepare }

// prepare makes of what the API server sent the object that is held.
func (s *store) prepare(obj any) (any, error) {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		obj = live.FromMetadata(s.kind, m)
	}
	o, ok := obj.(snapshot.Object)
	if !ok {
		return nil, fmt.Errorf("a watch of %s gave a %T", s.kind, obj)
	}
	collect.Clean(o)
	if s.shared++; s.shared > renewal+4*s.len() {
		s.sharer, s.shared = snapshot.NewSharer(), 0
	}
	s.sharer.Share(o)
	return o, nil
}

func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.Len() + len(s.pending)
}

// Add implements cache.ReflectorStore.
func (s *store) Add(obj any) error {
	prepared, err := s.prepare(obj)
	if err != nil {
		return err
	}
	o, _ := prepared.(snapshot.Object)
	s.mu.Lock()
	name := nameOf(o)
	matters := significant(s.get(name), o)
	s.put(name, o)
	s.mu.Unlock()
	if matters {
		s.changed()
	}
	return nil
}

// Update implements cache.ReflectorStore.
func (s *store) Update(obj any) error { return s.Add(obj) }

// Delete implements cache.ReflectorStore.
func (s *store) Delete(obj any) error {
	o, ok := obj.(metav1.Object)
	if !ok {
		return fmt.Errorf("a watch of %s gave a %T", s.kind, obj)
	}
	s.mu.Lock()
	s.put(types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, nil)
	s.mu.Unlock()
	if s.events == nil {
		// Events only run out.
		s.changed()
	}
	return nil
}

// Replace implements cache.ReflectorStore with objects that prepare made.
func (s *store) Replace(list []any, _ string) error {
	all := make(map[types.NamespacedName]snapshot.Object, len(list))
	for _, item := range list {
		o, ok := item.(snapshot.Object)
		if !ok {
			return fmt.Errorf("a list of %s holds a %T", s.kind, item)
		}
		all[nameOf(o)] = o
	}
	s.mu.Lock()
	s.table, s.pending = snapshot.Table{}, all
	if s.events != nil {
		s.events.restart(all)
	}
	s.flush()
	s.mu.Unlock()
	s.replaced()
	return nil
}

// Resync implements cache.ReflectorStore; there is nobody to tell again.
func (s *store) Resync() error { return nil }

// get returns the newest object of a name, or nil.
func (s *store) get(name types.NamespacedName) snapshot.Object {
	if o, ok := s.pending[name]; ok {
		return o
	}
	o, _ := s.table.Get(name)
	return o
}

func (s *store) put(name types.NamespacedName, o snapshot.Object) {
	s.pending[name] = o
	if s.events == nil {
		return
	}
	if o == nil {
		s.events.lost(name)
		return
	}
	if old, ok := s.events.took(name, o); ok {
		s.pending[old] = nil
	}
}

// flush brings the table up to date.
func (s *store) flush() {
	if s.events != nil {
		s.events.cut(s.table, s.pending)
	}
	if len(s.pending) > 0 {
		s.table = s.table.With(s.pending)
		s.pending = map[types.NamespacedName]snapshot.Object{}
	}
}

// read returns all objects, and whether some were left out because there are too many.
func (s *store) read() (t snapshot.Table, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	return s.table, s.events != nil && s.events.left
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

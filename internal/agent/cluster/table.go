package cluster

import (
	"fmt"
	"maps"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/cache"
)

// table keeps what is wanted of the objects of one watch, and nothing else of them.
type table[T any] struct {
	// row makes what is kept of an object.
	row func(obj any) (T, error)
	// changed is told when a row is another than before.
	changed func()
	// heard is told whenever the API server said anything.
	heard func()
	// trim, where it is not nil, makes objects of a long list small while it comes in.
	trim cache.TransformFunc

	mu   sync.Mutex
	rows map[string]T
}

var (
	_ cache.TransformingStore      = (*table[Node])(nil)
	_ cache.ReflectorBookmarkStore = (*table[Node])(nil)
)

// all returns the rows by name. The map is shared with nobody; the rows are.
func (t *table[T]) all() map[string]T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.rows)
}

// fill puts in rows that were kept on disk.
func (t *table[T]) fill(rows map[string]T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = maps.Clone(rows)
}

// Add takes in an object.
func (t *table[T]) Add(obj any) error {
	name, row, err := t.read(obj)
	if err != nil {
		return err
	}
	t.mu.Lock()
	old, had := t.rows[name]
	if t.rows == nil {
		t.rows = map[string]T{}
	}
	t.rows[name] = row
	t.mu.Unlock()
	t.heard()
	if !had || !reflect.DeepEqual(old, row) {
		t.changed()
	}
	return nil
}

// Update takes in an object that is known.
func (t *table[T]) Update(obj any) error { return t.Add(obj) }

// Delete drops an object.
func (t *table[T]) Delete(obj any) error {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return fmt.Errorf("naming an object: %w", err)
	}
	t.mu.Lock()
	delete(t.rows, name)
	t.mu.Unlock()
	t.heard()
	t.changed()
	return nil
}

// Replace takes in all objects there are.
func (t *table[T]) Replace(objects []any, _ string) error {
	rows := make(map[string]T, len(objects))
	for _, obj := range objects {
		name, row, err := t.read(obj)
		if err != nil {
			return err
		}
		rows[name] = row
	}
	t.mu.Lock()
	same := t.rows != nil && reflect.DeepEqual(t.rows, rows)
	t.rows = rows
	t.mu.Unlock()
	t.heard()
	if !same {
		t.changed()
	}
	return nil
}

// Resync has nothing to do.
func (t *table[T]) Resync() error { return nil }

// Bookmark is a sign of life.
func (t *table[T]) Bookmark(string) error {
	t.heard()
	return nil
}

// Transformer makes objects small while a long list comes in.
func (t *table[T]) Transformer() cache.TransformFunc { return t.trim }

func (t *table[T]) read(obj any) (name string, row T, err error) {
	object, err := meta.Accessor(obj)
	if err != nil {
		return "", row, fmt.Errorf("reading an object: %w", err)
	}
	name, err = cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return "", row, fmt.Errorf("naming an object: %w", err)
	}
	row, err = t.row(obj)
	return name, row, err
}

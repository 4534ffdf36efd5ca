package snapshot

import (
	"reflect"
	"sync"
)

// Derived returns what derive makes of the objects of a snapshot. It is made once, for whoever asks
// first, and shared by all views of the snapshot: several rules often need the same few of many pods.
// It is found by its type, so T should be a type that the package of these rules declares for it, and
// derive must depend on nothing but objects of kinds, and evidence of machines, that each of them declares.
func Derived[T any](s *Snapshot, derive func() T) T {
	type kept func() T
	made, _ := s.derived.LoadOrStore(reflect.TypeFor[T](), kept(sync.OnceValue(derive)))
	if get, ok := made.(kept); ok {
		return get()
	}
	return derive()
}

package finding

import (
	"cmp"
	"time"
)

// CompareSubjects orders subjects by kind, namespace, name and machine.
func CompareSubjects(a, b Subject) int {
	return cmp.Or(
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Machine, b.Machine),
	)
}

// Qualified is a subject's name as kubectl takes it apart: "namespace/name", or "name" where it
// has no namespace.
func Qualified(s Subject) string {
	if s.Namespace == "" {
		return s.Name
	}
	return s.Namespace + "/" + s.Name
}

// Named is a subject as people say it, and as evidence names its source: "Pod shop/api-0".
func Named(s Subject) string { return s.Kind + " " + Qualified(s) }

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Earlier returns the earlier of two times, where the zero time is none.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

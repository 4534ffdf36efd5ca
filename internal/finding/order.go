package finding

import (
	"cmp"
	"slices"
)

// Rank orders severities: the worse, the smaller.
func Rank(s Severity) int {
	switch s {
	case Critical:
		return 0
	case Warning:
		return 1
	default:
		return 2
	}
}

// Worst returns the worse of two severities.
func Worst(a, b Severity) Severity {
	if Rank(b) < Rank(a) {
		return b
	}
	return a
}

// Compare orders findings by severity, code and subject.
func Compare(a, b Finding) int { return compare(&a, &b) }

// compare takes pointers, and compares no more than it must: findings are large, and there can be tens
// of thousands to put in order.
func compare(a, b *Finding) int {
	if c := cmp.Compare(Rank(a.Severity), Rank(b.Severity)); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Code, b.Code); c != 0 {
		return c
	}
	return CompareSubjects(a.Subject, b.Subject)
}

// Sorted returns findings in the order of Compare; those that it does not tell apart keep theirs.
func Sorted(findings []Finding) []Finding {
	order := make([]*Finding, len(findings))
	for i := range findings {
		order[i] = &findings[i]
	}
	slices.SortStableFunc(order, compare)
	out := make([]Finding, len(findings))
	for i, f := range order {
		out[i] = *f
	}
	return out
}

package finding

import "cmp"

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
func Compare(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(Rank(a.Severity), Rank(b.Severity)), cmp.Compare(a.Code, b.Code), CompareSubjects(a.Subject, b.Subject),
	)
}

package rules

import (
	"testing"

	"github.com/maek-dev/maek/internal/finding"
)

func TestCodesAreUnique(t *testing.T) {
	seen := map[finding.Code]bool{}
	for _, r := range All() {
		if seen[r.Code] {
			t.Errorf("two folders have a rule %s", r.Code)
		}
		seen[r.Code] = true
	}
}

func TestCausesNameRulesThatExist(t *testing.T) {
	known := map[finding.Code]bool{}
	for _, r := range All() {
		known[r.Code] = true
	}
	for _, r := range All() {
		for _, c := range r.Causes {
			if !known[c.Code] {
				t.Errorf("%s can be explained by %s, which no rule finds", r.Code, c.Code)
			}
		}
	}
}

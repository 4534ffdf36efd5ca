package workload

import (
	"slices"
	"testing"
)

func TestPatternsCompile(t *testing.T) {
	all := []pattern{troubled, frames, nameFailures, noSpace}
	for _, c := range clues {
		all = append(all, c.text)
	}
	for _, c := range storeClues {
		all = append(all, c.text)
	}
	for _, c := range startClues {
		all = append(all, c.text)
	}
	for _, p := range all {
		if p.text == "" || slices.Equal(p.FindStringIndex("\x00"), []int{0, 0}) {
			t.Errorf("pattern %q matches everything", p)
		}
	}
}

package expect

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Whoever may write Checks may write patterns, and as many as there are Checks: what is kept of them is bounded by
// what it takes, not by their number alone.
func TestPatternsAreKeptWithinBounds(t *testing.T) {
	const least = 1200 // \pL alone has more bounds than that.
	largest := strings.Repeat(`\pL`, maxRunes/1500)
	var k keeper
	for i := range 2 * maxKeptRunes / (least * (maxRunes / 1500)) {
		text := fmt.Sprint(largest, i)
		made := compile(text)
		if made.unfit != nil {
			t.Fatalf("%s: %s", text, made.unfit.message)
		}
		if made.runes < least*(maxRunes/1500) {
			t.Fatalf("%d bounds in %s", made.runes, text)
		}
		k.keep(text, made)
		k.keep(text, made)
		sum := 0
		for _, p := range k.kept {
			sum += p.runes
		}
		if sum > maxKeptRunes || sum != k.runes || k.find(text) != made {
			t.Fatalf("%d bounds are kept after %d patterns, reckoned as %d", sum, i+1, k.runes)
		}
	}
	for i := range 2 * maxPatterns {
		k.keep(strconv.Itoa(i), &pattern{})
	}
	if len(k.kept) > maxPatterns {
		t.Errorf("%d patterns are kept", len(k.kept))
	}
}

// What cannot be used costs as much to find out as what can, and is asked for as often.
func TestUnfitPatternsAreKept(t *testing.T) {
	for name, text := range map[string]string{
		"no pattern": `(`, "too many repetitions": `((x{30}){30}){3}`, "too many classes": strings.Repeat(`\PL`, 300),
	} {
		t.Run(name, func(t *testing.T) {
			_, first := compiled(text)
			_, second := compiled(text)
			if first == nil || first != second {
				t.Errorf("first %v, then %v", first, second)
			}
		})
	}
}

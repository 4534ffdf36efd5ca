package schedule

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const short, long = crowd, crowd + 1
	for name, tc := range map[string]struct {
		starts int
		turns  []time.Duration
		every  time.Duration
		// want is how many runs may begin with the last look, and atLeast and atMost with all of them.
		want, atLeast, atMost int
	}{
		"there is nothing else to do":          {starts: 1, turns: repeat(short, 100), every: together, want: most, atLeast: 2000, atMost: 100 * most},
		"one long turn in ten is borne":        {starts: most, turns: append(repeat(short, 9), long), every: together, want: most - most/8, atLeast: 600, atMost: 10 * most},
		"the processor is short":               {starts: most, turns: repeat(long, 100), every: together, want: 1, atLeast: 100, atMost: 700},
		"looks that come sooner bring no more": {starts: most, turns: repeat(short, 100), every: together / 10, want: 0, atLeast: 10 * most, atMost: 10 * most},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{starts: tc.starts, since: -together}
			all := 0
			var now time.Duration
			for _, turn := range tc.turns {
				p.look(now, turn)
				all += p.left
				tc.starts = p.left
				p.left = 0
				now += tc.every
			}
			if tc.starts != tc.want {
				t.Errorf("%d runs may begin in the end, want %d", tc.starts, tc.want)
			}
			if all < tc.atLeast || all > tc.atMost {
				t.Errorf("%d runs might begin in all, want %d to %d", all, tc.atLeast, tc.atMost)
			}
		})
	}
}

func repeat(turn time.Duration, n int) []time.Duration {
	turns := make([]time.Duration, n)
	for i := range turns {
		turns[i] = turn
	}
	return turns
}

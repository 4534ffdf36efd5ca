package history

import (
	"strings"
	"testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestTailsAreWholeLines(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", 99) + "\n"
	cases := map[string]struct{ text, want string }{
		"short":             {"a\nb", "a\nb"},
		"long":              {strings.Repeat(line, 1000), strings.Repeat(line, v1alpha1.MaxLogTail/100)},
		"a single line":     {strings.Repeat("y", v1alpha1.MaxLogTail+1), strings.Repeat("y", v1alpha1.MaxLogTail)},
		"a character's end": {"é" + strings.Repeat("z", v1alpha1.MaxLogTail-1), strings.Repeat("z", v1alpha1.MaxLogTail-1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Tail(tc.text, v1alpha1.MaxLogTail); got != tc.want {
				t.Errorf("%d bytes, want %d: %.40q", len(got), len(tc.want), got)
			}
		})
	}
}

package finding

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	tests := map[string]struct {
		names []string
		want  Text
	}{
		"no names are no text":                   {nil, Text{}},
		"names are sorted and told once":         {[]string{"w2", "w1", "w2"}, Verbatim("w1, w2")},
		"names beyond the first few are counted": {[]string{"f", "e", "d", "c", "b", "a"}, Text{EN: "a, b, c, d and 2 more", KO: "a, b, c, d 외 2개"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, List(tc.names)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package monitor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/snapshot"
)

func TestChanges(t *testing.T) {
	noon := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	var c Changes
	var got []string
	for i, values := range []map[string]string{{"a": "yes"}, {"a": "yes"}, {"a": "no"}, {"a": "no", "b": "yes"}, {"b": "yes"}, {"a": "no"}, {"a": "yes"}} {
		c.Look(noon.Add(time.Duration(i) * time.Minute))
		var line strings.Builder
		for _, name := range []string{"a", "b"} {
			if value, ok := values[name]; ok {
				e := c.Since(Value(snapshot.KeyOf("answer", name), value))
				line.WriteString(name + "=" + value)
				if e.At != nil {
					line.WriteString(e.At.UTC().Format(" 15:04 "))
				}
			}
		}
		got = append(got, line.String())
	}
	want := []string{"a=yes", "a=yes", "a=no 12:02 ", "a=no 12:02 b=yes 12:03 ", "b=yes 12:03 ", "a=no 12:02 ", "a=yes 12:06 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

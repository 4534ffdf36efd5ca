package agents

import (
	"bytes"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

// FuzzRead takes in what any agent may pass on, as the command line does.
func FuzzRead(f *testing.F) {
	const report = `{"node":"w1","report":{"apiVersion":"maek.dev/agent/v1","kind":"MachineReport","machine":"h","node":"w1","observedAt":"9999-12-31T23:59:59Z",` +
		`"reads":[{"monitor":"units","at":null}],"evidence":[{"key":"unit/%2/x","value":"1","at":"0001-01-01T00:00:00Z"},{"key":"//","value":"\u0000"}],"gaps":[{"monitor":"","reason":""}]}}`
	for _, text := range []string{"", "\n\n", "null\n", `{"node":"w1","error":"x"}`, report, report + "\n" + report[:80], `{"node":"w1","report":{"apiVersion":"maek.dev/agent/v9","node":"w1"}}`, "[1]\n{}\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := snapshot.NewBuilder(time.Unix(0, 0), snapshot.Source{})
		nodes := map[string]bool{}
		c := cleaner{texts: map[string]string{}}
		err := Read(bytes.NewReader(data), func(node string, report *snapshot.MachineReport, err error) bool {
			if (report == nil) == (err == nil) {
				t.Errorf("node %q: report %v and error %v", node, report, err)
			}
			if report != nil {
				c.clean(report)
				b.AddMachine(*report)
				nodes[node] = true
			}
			return true
		})
		if err != nil {
			t.Errorf("a whole answer ends with %v", err)
		}
		for _, m := range b.Build().Machines() {
			if !nodes[m.Node()] {
				t.Errorf("a report of %q came from nowhere", m.Node())
			}
			for _, r := range b.Build().MachineReports() {
				for _, e := range r.Evidence {
					if got, ok := m.Find(e.Key); m.Node() == r.Node && (!ok || got.Value != e.Value) {
						t.Errorf("key %q is not found again", e.Key)
					}
				}
			}
		}
	})
}

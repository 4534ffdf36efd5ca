package state_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/state"
)

var (
	group = state.Resource{Kind: state.KindCgroup, Name: "/sys/fs/cgroup/pids/lab-w1"}
	mount = state.Resource{Kind: state.KindMount, Name: "/var/lib/maek-lab/machines/w1/root"}
)

func TestJournalIsReadBackInTheOrderOfRecording(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	record(t, path, group, mount)
	record(t, path, group, state.Resource{Kind: state.KindNamespace, Name: "labsw"})

	want := []state.Resource{group, mount, {Kind: state.KindNamespace, Name: "labsw"}}
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

func TestJournalSurvivesACrash(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		content string
		want    []state.Resource
	}{
		"nothing was written": {content: "", want: nil},
		"a line was cut short": {
			content: `{"kind":"cgroup","name":"/sys/fs/cgroup/pids/lab-w1"}` + "\n" + `{"kind":"mount","na`,
			want:    []state.Resource{group},
		},
		"a line was cut short and a later command went on": {
			content: `{"kind":"mount","na` + "\n" + `{"kind":"cgroup","name":"/sys/fs/cgroup/pids/lab-w1"}` + "\n",
			want:    []state.Resource{group},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, read(t, path)); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
			record(t, path, mount)
			if diff := cmp.Diff(append(tc.want, mount), read(t, path)); diff != "" {
				t.Errorf("resources after one more (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAbsentJournalIsEmpty(t *testing.T) {
	t.Parallel()
	if got := read(t, filepath.Join(t.TempDir(), "journal")); len(got) != 0 {
		t.Errorf("resources = %v, want none", got)
	}
}

func record(t *testing.T, path string, resources ...state.Resource) {
	t.Helper()
	journal, err := state.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := journal.Record(resources...); err != nil {
		t.Fatal(err)
	}
	if err := journal.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []state.Resource {
	t.Helper()
	resources, err := state.ReadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	return resources
}

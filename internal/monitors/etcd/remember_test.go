package etcd

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
)

func TestSinceIsWhenAChangeWasSeen(t *testing.T) {
	start := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	w := &watcher{}
	var got []string
	for i, answer := range []string{"yes", "yes", "refused", "refused", "yes"} {
		w.now, w.out = start.Add(time.Duration(i)*interval), nil
		w.changes.Look(w.now)
		w.track(monitor.Value("etcd/local/answer", answer))
		at := "unknown"
		if w.out[0].At != nil {
			at = w.out[0].At.UTC().Format(time.TimeOnly)
		}
		got = append(got, answer+" since "+at)
	}
	want := []string{"yes since unknown", "yes since unknown", "refused since 02:00:30", "refused since 02:00:30", "yes since 02:01:00"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("since (-want +got):\n%s", diff)
	}
}

func TestChangesAreCountedOverTheLastQuarterOfAnHour(t *testing.T) {
	start := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	w := &watcher{}
	look := func(after time.Duration, process, changes, compacted, revision float64) map[string]string {
		w.now, w.out = start.Add(after), nil
		w.tellMetrics(&sample{at: w.now, values: map[string]float64{
			"process_start_time_seconds": process, "etcd_server_leader_changes_seen_total": changes,
			"etcd_debugging_mvcc_compact_revision": compacted, "etcd_debugging_mvcc_current_revision": revision,
		}})
		out := map[string]string{}
		for _, e := range w.out {
			out[string(e.Key)] = e.Value
		}
		return out
	}
	for _, step := range []struct {
		after                                  time.Duration
		process, changes, compacted, revision  float64
		wantChanges, wantUnchanged, wantWrites string
	}{
		{0, 1, 10, 100, 500, "", "0", "0"},
		{10 * time.Minute, 1, 12, 100, 900, "2", "600", "400"},
		{20 * time.Minute, 1, 13, 100, 1000, "1", "1200", "500"},
		{21 * time.Minute, 1, 13, 950, 1100, "1", "0", "0"},
		{22 * time.Minute, 2, 1, 950, 1200, "", "60", "100"},
	} {
		got := look(step.after, step.process, step.changes, step.compacted, step.revision)
		want := [3]string{step.wantChanges, step.wantUnchanged, step.wantWrites}
		if diff := cmp.Diff(want, [3]string{got["etcd/metrics/leader-changes-lately"], got["etcd/compaction/unchanged"], got["etcd/compaction/writes"]}); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.after, diff)
		}
	}
}

func TestALearnerIsOneSinceItWasFirstSeen(t *testing.T) {
	start := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)
	var r roster
	r.renew(1, []member{{ID: 7, Learner: true}, {ID: 3}}, start)
	r.renew(1, []member{{ID: 7, Learner: true}, {ID: 3}}, start.Add(time.Hour))
	if got := r.Members[1].LearnerSince; !got.Equal(start) {
		t.Errorf("learner since %s, want %s", got, start)
	}
	r.renew(1, []member{{ID: 7}, {ID: 3}}, start.Add(2*time.Hour))
	r.renew(1, []member{{ID: 7, Learner: true}, {ID: 3}}, start.Add(3*time.Hour))
	if got, want := r.Members[1].LearnerSince, start.Add(3*time.Hour); !got.Equal(want) {
		t.Errorf("a second time learner since %s, want %s", got, want)
	}
}

func TestAProcessThatEndedIsNotForgotten(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(filepath.Join("testdata", "machines", "process"))); err != nil {
		t.Fatal(err)
	}
	w := &watcher{host: monitor.Host{Root: root}, now: time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC)}
	for _, step := range []string{"it runs", "it ended", "it ended long ago"} {
		f, err := w.find()
		if err != nil || f.etcd == nil || f.etcd.flags["name"] != "second" {
			t.Errorf("%s: found %+v, %v; want the process", step, f.etcd, err)
		}
		if err := os.RemoveAll(filepath.Join(root, "proc", "812")); err != nil {
			t.Fatal(err)
		}
		if step == "it ended" {
			w.now = w.now.Add(2 * searchEvery)
		}
	}
}

func TestAListThatWasCutShortIsHadAnew(t *testing.T) {
	w := &watcher{host: monitor.Host{Store: stored("{\"cluster\":1,\"mem")}}
	if err := w.load(); err != nil || len(w.known.Members) > 0 || w.known.Cluster != 0 {
		t.Errorf("load of a list that was cut short = %v, %v; want nothing", w.known, err)
	}
}

// stored is what is kept under every name.
type stored string

func (s stored) Load(string) ([]byte, error) { return []byte(s), nil }

func (s stored) Save(string, []byte) error { return nil }

package bundle

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// sized is a ConfigMap of a kind that a snapshot reads, with some bytes in it.
func sized(bytes int) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big","namespace":"shop"},"data":{"a":"%s"}}`, strings.Repeat("x", bytes))
}

func TestObjectsAtTheSizeLimit(t *testing.T) {
	// etcd takes 1.5 MiB by default, and up to 10 MiB where somebody raised --max-request-bytes.
	for name, tc := range map[string]struct {
		bytes int
		want  snapshot.Coverage
		gap   string
	}{
		"as large as etcd takes":            {3 << 19, snapshot.Coverage{State: snapshot.Complete}, ""},
		"as large as etcd can be made take": {10 << 20, snapshot.Coverage{State: snapshot.Complete}, ""},
		"larger than any API server holds": {
			2 * maxObjectBytes,
			snapshot.Coverage{State: snapshot.Partial, Reason: "x.json breaks off"},
			"x.json: it holds an object larger than 16 MiB, which no API server would; what came before is used",
		},
	} {
		t.Run(name, func(t *testing.T) {
			small := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"small","namespace":"web"}}`
			b := opened(t, map[string]string{"x.json": list(small, sized(tc.bytes), small)})
			got := b.Snapshot().Coverage(configMapKind)
			got.ReadAt = tc.want.ReadAt
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("coverage (-want +got):\n%s", diff)
			}
			if gaps := strings.Join(besides(gapTexts(b), undated), "\n"); gaps != tc.gap {
				t.Errorf("gaps %q, want %q", gaps, tc.gap)
			}
			if m, ok := snapshot.Get[*corev1.ConfigMap](b.Snapshot(), "shop", "big"); ok && m.Data["a"] != "" {
				t.Error("its value was kept")
			}
		})
	}
}

// A node's clock may be hours off; what the API server wrote says when the bundle was taken.
func TestClocksThatAreHoursApart(t *testing.T) {
	lease := `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"w1","namespace":"kube-node-lease",` +
		`"managedFields":[{"manager":"kubelet","time":"2026-03-02T02:00:00Z"}]},"spec":{"renewTime":"2026-03-02T09:00:00.000000Z"}}`
	node := `{"apiVersion":"v1","kind":"Node","metadata":{"name":"w1","creationTimestamp":"2026-03-01T00:00:00Z"},` +
		`"status":{"conditions":[{"type":"Ready","lastHeartbeatTime":"2026-03-02T09:00:00Z"}]}}`
	b := opened(t, map[string]string{"x.json": list(lease, node)})
	if want := time.Date(2026, 3, 2, 2, 0, 0, 0, time.UTC); !b.Snapshot().Now().Equal(want) {
		t.Errorf("the moment is %s, want the API server's %s", b.Snapshot().Now(), want)
	}
}

func TestEventsAreWrittenInTheOrderInWhichTheyHappened(t *testing.T) {
	at := func(minutes int) time.Time {
		return moment.Add(time.Duration(minutes) * time.Minute).Truncate(time.Second)
	}
	b := snapshot.NewBuilder(moment, snapshot.Source{Name: "lab"})
	for _, e := range []*corev1.Event{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "third"}, LastTimestamp: metav1.NewTime(at(3))},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "undated"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "c", Name: "first"}, EventTime: metav1.NewMicroTime(at(1))},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "second"}, Series: &corev1.EventSeries{LastObservedTime: metav1.NewMicroTime(at(2))}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "e", Name: "ahead"}, LastTimestamp: metav1.NewTime(at(600))},
	} {
		b.Add(e)
	}
	b.SetCoverage(eventKind, snapshot.Coverage{State: snapshot.Complete})
	dir := filepath.Join(t.TempDir(), "x")
	s := b.Build()
	if err := Write(t.Context(), dir, s, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "events.json"))
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, name := range []string{"undated", "first", "second", "third", "ahead"} {
		i := bytes.Index(data, []byte(`"name": "`+name+`"`))
		if i < last || i < 0 {
			t.Errorf("%s stands at %d, the one before at %d", name, i, last)
		}
		last = i
	}
	again, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contentsOf(s), contentsOf(again.Snapshot())); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

func TestNothingHalfWrittenIsLeft(t *testing.T) {
	for _, name := range []string{"x", "x.tar.gz", "there"} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			if err := os.Mkdir(filepath.Join(parent, "there"), 0o700); err != nil {
				t.Fatal(err)
			}
			failing := WriteOptions{Logs: func(yield func(Log) bool) {
				yield(Log{Question: snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "../..", Name: "a", Container: "b"}, Text: "x"})
			}}
			if err := Write(t.Context(), filepath.Join(parent, name), everything(), failing); err == nil {
				t.Fatal("it was written")
			}
			left, err := filepath.Glob(filepath.Join(parent, "*"))
			if err != nil {
				t.Fatal(err)
			}
			hidden, err := filepath.Glob(filepath.Join(parent, ".*"))
			if err != nil {
				t.Fatal(err)
			}
			if len(left) != 1 || len(hidden) > 0 {
				t.Errorf("left are %v and %v, want the folder that was there", left, hidden)
			}
			if in, err := os.ReadDir(filepath.Join(parent, "there")); err != nil || len(in) > 0 {
				t.Errorf("%d files are in the folder that was empty, error %v", len(in), err)
			}
		})
	}
}

func TestLogsBesideAnswers(t *testing.T) {
	other := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: "shop", Name: "api-9", Container: "api"}
	o := WriteOptions{Logs: func(yield func(Log) bool) {
		_ = yield(Log{Question: logQuestion, Text: "earlier\nstarting\n\npanic: no database \u2028\nlater"}) &&
			yield(Log{Question: other, Text: "one"}) && yield(Log{Question: other, Text: "twice"}) &&
			yield(Log{Question: deniedQuestion, Error: "forbidden"})
	}}
	for _, name := range []string{"x", "x.tar"} {
		path := filepath.Join(t.TempDir(), name)
		want := everything()
		if err := Write(t.Context(), path, want, o); err != nil {
			t.Fatal(err)
		}
		b, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(contentsOf(want), contentsOf(b.Snapshot())); diff != "" {
			t.Errorf("%s: the longer log changed what was seen (-want +got):\n%s", name, diff)
		}
		if got := b.Answer(t.Context(), []snapshot.Question{other})[other]; got.Text != "one" {
			t.Errorf("%s: the other log is %+v", name, got)
		}
		if gaps := gapTexts(b); len(gaps) != 1 || gaps[0] != "logs/shop/api-1/api.log could not be read: forbidden" {
			t.Errorf("%s: gaps %q", name, gaps)
		}
	}
}

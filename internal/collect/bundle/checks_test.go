package bundle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestChecksAreWrittenAndReadBack(t *testing.T) {
	last := metav1.NewTime(moment.Truncate(1e9))
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "kuberhealthy", Name: name, UID: "u"}
	}
	template := runtime.RawExtension{Raw: []byte(`{"containers":[{"name":"main","image":"checker:v1","env":[{"name":"DB","value":"hunter2hunter2"}]}]}`)}
	objects := []snapshot.Object{
		&khv1.KuberhealthyCheck{ObjectMeta: meta("a"), Spec: khv1.CheckSpec{RunInterval: "15m", Timeout: "12m", PodSpec: template}},
		&khv1.KuberhealthyJob{ObjectMeta: meta("b"), Spec: khv1.JobSpec{Phase: khv1.JobCompleted, Timeout: "1m", PodSpec: template}},
		&khv1.KuberhealthyState{ObjectMeta: meta("a"), Spec: khv1.State{Errors: []string{"w2 is down"}, Node: "w1", LastRun: &last, CurrentUUID: "7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa"}},
		&khv2.HealthCheck{ObjectMeta: meta("c"), Spec: khv2.HealthCheckSpec{RunInterval: "5m", PodSpec: khv2.CheckPodSpec{Spec: template}}, Status: khv2.HealthCheckStatus{Errors: []string{"503"}, LastFailureUnix: 1772417701}},
		&v1alpha1.CheckRecord{ObjectMeta: meta("a"), Check: v1alpha1.CheckReference{Kind: "KuberhealthyCheck", Name: "a", UID: "u"}, WrittenAt: last, Healthy: "False", Streak: 3},
	}
	b := snapshot.NewBuilder(moment, snapshot.Source{Name: "lab", Live: true})
	for _, o := range objects {
		collect.Clean(o)
		b.Add(o)
		k, _ := snapshot.KindOfObject(o)
		b.SetCoverage(k, snapshot.Coverage{State: snapshot.Complete, ReadAt: moment})
	}
	b.SetCoverage(snapshot.KindOf[*v1alpha1.Check](), snapshot.Coverage{State: snapshot.NotServed, Reason: "the API server does not serve maek.dev/v1alpha1"})
	written := b.Build()
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := Write(t.Context(), dir, written, WriteOptions{Program: "test"}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "khstates.comcast.github.io.json")); err != nil || strings.Contains(string(data), "7f0c9a52") {
		t.Errorf("%v: %s", err, data)
	}
	read, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range written.Kinds() {
		if diff := cmp.Diff(written.Coverage(k), read.Snapshot().Coverage(k)); diff != "" {
			t.Errorf("%s (-written +read):\n%s", k, diff)
		}
		if diff := cmp.Diff(printedObjects(t, written, k), printedObjects(t, read.Snapshot(), k)); diff != "" {
			t.Errorf("%s (-written +read):\n%s", k, diff)
		}
	}
	if len(read.Gaps()) > 0 || len(read.Snapshot().CustomKinds()) > 0 {
		t.Errorf("skips %v, custom kinds %v", read.Gaps(), read.Snapshot().CustomKinds())
	}
}

func printedObjects(t *testing.T, s *snapshot.Snapshot, k snapshot.Kind) []string {
	t.Helper()
	var out []string
	s.Each(k, func(o snapshot.Object) {
		o = o.DeepCopyObject().(snapshot.Object)
		o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(data))
	})
	return out
}

// One object that nobody could have meant does not cost the others.
func TestChecksThatAreNoneAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	const list = `{"apiVersion":"v1","kind":"List","items":[
 {"apiVersion":"comcast.github.io/v1","kind":"KuberhealthyState","metadata":{"name":"good","namespace":"a"},"spec":{"OK":true,"Errors":null,"LastRun":null}},
 {"apiVersion":"comcast.github.io/v1","kind":"KuberhealthyState","metadata":{"name":"bad","namespace":"a"},"spec":{"OK":"maybe","Errors":"many"}},
 {"apiVersion":"comcast.github.io/v1","kind":"KuberhealthyCheck","metadata":{"name":"c","namespace":"a"},"spec":{"podSpec":"none","runInterval":"x"}}]}`
	if err := os.WriteFile(filepath.Join(dir, "checks.json"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	states, checks := snapshot.List[*khv1.KuberhealthyState](b.Snapshot()), snapshot.List[*khv1.KuberhealthyCheck](b.Snapshot())
	if len(states) != 1 || states[0].Name != "good" || len(checks) != 1 {
		t.Errorf("%d states, %d checks", len(states), len(checks))
	}
	if !slices.ContainsFunc(b.Gaps(), func(s finding.Skip) bool { return strings.Contains(s.Reason.EN, "spec.OK") }) {
		t.Errorf("nothing is said about the one that was left out: %v", b.Gaps())
	}
}

package diagnosis

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestParseIgnore(t *testing.T) {
	tests := map[string]struct {
		value   string
		want    []Ignore
		wantErr string
	}{
		"a code alone":               {value: "KubeletStopped", want: []Ignore{{Code: "KubeletStopped"}}},
		"a last day and a reason":    {value: "A, until=2026-12-31, reason=spare, being repaired", want: []Ignore{{Code: "A", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), Reason: "spare, being repaired"}}},
		"a moment":                   {value: "A,until=2026-12-31T18:00:00+09:00", want: []Ignore{{Code: "A", Until: time.Date(2026, 12, 31, 9, 0, 0, 0, time.UTC)}}},
		"several":                    {value: "A;B,reason=x;", want: []Ignore{{Code: "A"}, {Code: "B", Reason: "x"}}},
		"nothing":                    {value: " ", wantErr: "it is empty; write CODE[,until=DATE][,reason=TEXT]"},
		"a date as people write it":  {value: "A,until=31.12.2026", wantErr: `until="31.12.2026" is no date; write it as 2026-12-31 or 2026-12-31T18:00:00Z`},
		"a word that nobody defined": {value: "A,since=2026-12-31", wantErr: `"since" is unknown in it; write CODE[,until=DATE][,reason=TEXT]`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseIgnore(tc.value)
			said := ""
			if err != nil {
				said = err.Error()
			}
			if said != tc.wantErr {
				t.Errorf("error %q, want %q", said, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestIgnore(t *testing.T) {
	faults := []finding.Finding{
		find("NodeDead", finding.Warning, node("w1")),
		find("PodDown", finding.Warning, of("Pod", "a-1")),
		find("PodDown", finding.Warning, of("Pod", "a-2")),
		find("WorkloadDown", finding.Warning, of("StatefulSet", "a")),
	}
	podElsewhere := "warning a-2 PodDown\n a WorkloadDown"
	nodeDead := "warning w1 NodeDead\n a-1 PodDown\n  a WorkloadDown"
	tests := map[string]struct {
		annotations map[finding.Subject]string
		given       []Ignore
		want        []string
		wantIgnored []string
		wantSkips   []string
	}{
		"the node is ignored with what only it explains, and the workload stays with its other cause": {
			annotations: map[finding.Subject]string{node("w1"): "NodeDead,reason=being repaired"},
			want:        []string{podElsewhere}, wantIgnored: []string{"NodeDead w1 (being repaired)"},
		},
		"a request that has ended does nothing": {
			annotations: map[finding.Subject]string{node("w1"): "NodeDead,until=2026-03-01"},
			want:        []string{nodeDead, podElsewhere},
		},
		"a namespace speaks for what lies in it": {
			annotations: map[finding.Subject]string{{Kind: "Namespace", Name: "shop"}: "PodDown"},
			want:        []string{nodeDead}, wantIgnored: []string{"PodDown a-2 ()"},
		},
		"a request from a file, by the beginning of a name": {
			given: []Ignore{{Code: "NodeDead", Subject: finding.Subject{Kind: "Node", Name: "w*"}}},
			want:  []string{podElsewhere}, wantIgnored: []string{"NodeDead w1 ()"},
		},
		"a request for another node": {
			given: []Ignore{{Code: "NodeDead", Subject: finding.Subject{Kind: "Node", Name: "w2"}}},
			want:  []string{nodeDead, podElsewhere},
		},
		"a request for what no rule finds is said to do nothing": {
			annotations: map[finding.Subject]string{node("w1"): "NodeDaed"},
			want:        []string{nodeDead, podElsewhere},
			wantSkips:   []string{`annotation maek.dev/ignore on Node w1: there is no code "NodeDaed" to ignore; kubectl maek rules lists them`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(now, snapshot.Source{Name: "test"})
			cluster().Each(snapshot.KindOf[*corev1.Pod](), func(o snapshot.Object) { b.Add(o) })
			for subject, value := range tc.annotations {
				meta := metav1.ObjectMeta{Name: subject.Name, Annotations: map[string]string{IgnoreAnnotation: value}}
				if subject.Kind == "Node" {
					b.Add(&corev1.Node{ObjectMeta: meta})
				} else {
					b.Add(&corev1.Namespace{ObjectMeta: meta})
				}
			}
			d := Diagnose(rule.Result{Snapshot: b.Build(), Findings: faults}, world, tc.given...)
			if diff := cmp.Diff(tc.want, drawn(d)); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
			var ignored, skips []string
			for _, i := range d.Document(finding.English, v1alpha1.Stats{}).Ignored {
				ignored = append(ignored, i.Code+" "+i.Subject.Name+" ("+i.Reason+")")
			}
			for _, s := range d.Skips {
				skips = append(skips, s.Reason.EN)
			}
			if diff := cmp.Diff(tc.wantIgnored, ignored); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantSkips, skips); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
		})
	}
}

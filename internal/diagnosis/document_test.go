package diagnosis

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

var documentTime = time.Date(2026, 3, 2, 2, 20, 0, 123, time.FixedZone("KST", 9*60*60))

func TestDocumentHasListsWhereThereIsNothing(t *testing.T) {
	d := Diagnosis{
		Snapshot: snapshot.NewBuilder(documentTime, snapshot.Source{Name: "prod"}).Build(),
		Verdict:  v1alpha1.VerdictUnknown,
	}
	got, err := json.Marshal(d.Document(finding.English, v1alpha1.Stats{Kinds: 15}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"Diagnosis","apiVersion":"maek.dev/v1alpha1","cluster":{"name":"prod","nodes":0,"pods":0},` +
		`"observedAt":"2026-03-01T17:20:00Z","verdict":"Unknown","incidents":[],"findings":[],"skipped":[],"ignored":[],` +
		`"stats":{"requests":0,"bytes":0,"objects":0,"kinds":15,"seconds":0}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDocumentSaysWhatWasNotLookedAt(t *testing.T) {
	d := Diagnosis{
		Snapshot:   snapshot.NewBuilder(documentTime, snapshot.Source{}).Build(),
		Skips:      []finding.Skip{{Code: "A", Reason: finding.Text{EN: "forbidden", KO: "권한 없음"}}},
		Failures:   []finding.Failure{{Code: "B", Err: errors.New("broke")}},
		Unanswered: 3,
	}
	doc := d.Document(finding.Korean, v1alpha1.Stats{})
	wantErrors := []v1alpha1.SkippedRule{{Code: "B", Reason: "broke"}}
	if diff := cmp.Diff(wantErrors, doc.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if len(doc.Skipped) != 2 || doc.Skipped[0] != (v1alpha1.SkippedRule{Code: "A", Reason: "권한 없음"}) || !strings.Contains(doc.Skipped[1].Reason, "3") {
		t.Errorf("skipped = %+v, want the skip in Korean and the 3 questions that were not asked", doc.Skipped)
	}
}

func TestInNamespace(t *testing.T) {
	incident := func(id string, severity finding.Severity, root finding.Subject, affected map[string][]string) finding.Incident {
		return finding.Incident{ID: id, Severity: severity, Root: finding.Finding{Subject: root}, Affected: affected}
	}
	node := finding.Subject{Kind: "Node", Name: "w1"}
	d := Diagnosis{
		Snapshot: snapshot.NewBuilder(documentTime, snapshot.Source{}).Build(),
		Verdict:  v1alpha1.VerdictCritical,
		Incidents: []finding.Incident{
			incident("node", finding.Critical, node, map[string][]string{"Pod": {"shop/a", "web/b"}}),
			incident("cart", finding.Warning, finding.Subject{Kind: "Deployment", Namespace: "shop", Name: "cart"}, nil),
			incident("other", finding.Critical, finding.Subject{Kind: "Deployment", Namespace: "shop-2", Name: "x"}, map[string][]string{"Pod": {"shop-2/x-1"}}),
			incident("quota", finding.Warning, finding.Subject{Kind: "Namespace", Name: "web"}, nil),
		},
		Findings: []Placed{
			{Finding: finding.Finding{Subject: node}, Incident: "node"},
			{Finding: finding.Finding{Subject: finding.Subject{Kind: "Pod", Namespace: "shop-2", Name: "x-1"}}, Incident: "other"},
			{Finding: finding.Finding{Subject: finding.Subject{Kind: "Service", Namespace: "shop", Name: "a"}, Severity: finding.Info}},
		},
	}
	cases := map[string]struct {
		namespace     string
		wantIncidents []string
		wantOthers    int
		wantFindings  int
		wantVerdict   finding.Verdict
	}{
		"the root or what suffers lies in it": {"shop", []string{"node", "cart"}, 2, 2, v1alpha1.VerdictCritical},
		"the root is the namespace itself":    {"web", []string{"node", "quota"}, 2, 1, v1alpha1.VerdictCritical},
		"a name that begins alike is another": {"sho", nil, 4, 0, v1alpha1.VerdictUnknown},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := d.In(Scope{Namespace: tc.namespace}, nil)
			var ids []string
			for _, i := range got.Incidents {
				ids = append(ids, i.ID)
			}
			if diff := cmp.Diff(tc.wantIncidents, ids); diff != "" {
				t.Errorf("incidents (-want +got):\n%s", diff)
			}
			if got.Scope != (Scope{Namespace: tc.namespace, Others: tc.wantOthers}) {
				t.Errorf("scope = %+v, want %d others", got.Scope, tc.wantOthers)
			}
			if len(got.Findings) != tc.wantFindings {
				t.Errorf("%d findings, want %d", len(got.Findings), tc.wantFindings)
			}
			if got.Verdict != tc.wantVerdict {
				t.Errorf("verdict = %s, want %s", got.Verdict, tc.wantVerdict)
			}
		})
	}
	if len(d.Incidents) != 4 {
		t.Error("confining a diagnosis changed it")
	}
}

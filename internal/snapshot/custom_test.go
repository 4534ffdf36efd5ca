package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestReduceCustomKeepsPhaseAndSuspension(t *testing.T) {
	tests := map[string]struct {
		spec, status  any
		wantPhase     string
		wantPath      string
		wantSuspended bool
	}{
		"a phase of its own":               {map[string]any{}, map[string]any{"phase": "Failed"}, "Failed", ".status.phase", false},
		"the health that Argo CD writes":   {map[string]any{}, map[string]any{"health": map[string]any{"status": "Degraded"}}, "Degraded", ".status.health.status", false},
		"a sentence is no phase":           {map[string]any{}, map[string]any{"phase": "it failed because the password hunter2 was not accepted"}, "", "", false},
		"a suspended one":                  {map[string]any{"suspend": true}, map[string]any{}, "", "", true},
		"a paused one":                     {map[string]any{"paused": true}, map[string]any{}, "", "", true},
		"fields of other types than usual": {map[string]any{"suspend": "yes", "paused": []any{}}, map[string]any{"phase": int64(4)}, "", "", false},
		"no spec and status that are maps": {"all", []any{"none"}, "", "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{
				"metadata": map[string]any{"name": "a"}, "spec": tc.spec, "status": tc.status,
			}}
			got, err := ReduceCustom(Kind{Group: "ex.io", Version: "v1", Kind: "Widget", Resource: "widgets"}, u)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]any{tc.wantPhase, tc.wantPath, tc.wantSuspended}, []any{got.Phase, got.PhasePath, got.Suspended}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

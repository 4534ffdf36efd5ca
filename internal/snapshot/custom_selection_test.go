package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAMonitorKeepsWhatItSelects(t *testing.T) {
	monitors := Kind{Group: MonitoringGroup, Version: "v1", Kind: "ServiceMonitor", Resource: "servicemonitors"}
	spec := map[string]any{
		"selector":          map[string]any{"matchLabels": map[string]any{"app": "api"}},
		"namespaceSelector": map[string]any{"matchNames": []any{"shop", "web"}},
	}
	tests := map[string]struct {
		kind Kind
		spec any
		want *MonitorSelection
	}{
		"labels and namespaces": {
			kind: monitors, spec: spec,
			want: &MonitorSelection{Labels: metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}, Namespaces: []string{"shop", "web"}},
		},
		"a kind of the same name in another group": {kind: Kind{Group: "ex.io", Version: "v1", Kind: "ServiceMonitor", Resource: "servicemonitors"}, spec: spec},
		"a selector of another shape":              {kind: monitors, spec: map[string]any{"selector": "app=api"}},
		"labels of another shape":                  {kind: monitors, spec: map[string]any{"selector": map[string]any{"matchLabels": []any{"app"}}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "api"}, "spec": tc.spec}}
			got, err := ReduceCustom(tc.kind, u)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Selects); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package snapshot

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestServicesSelectingAPod(t *testing.T) {
	b := NewBuilder(moment, Source{})
	service := func(namespace, name string, selector map[string]string) {
		b.Add(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Selector: selector}})
	}
	service("shop", "web", map[string]string{"tier": "web"})
	service("shop", "api", map[string]string{"tier": "web", "app": "api"})
	service("shop", "api-canary", map[string]string{"tier": "web", "app": "api", "track": "canary"})
	service("shop", "by-hand", nil)
	service("other", "api", map[string]string{"app": "api"})
	s := b.Build()
	tests := map[string]struct {
		labels map[string]string
		want   []string
	}{
		"a pod that several select":       {map[string]string{"tier": "web", "app": "api", "version": "2"}, []string{"api", "web"}},
		"a pod with one label of two":     {map[string]string{"app": "api"}, nil},
		"a pod that all of them select":   {map[string]string{"tier": "web", "app": "api", "track": "canary"}, []string{"api", "api-canary", "web"}},
		"a pod without labels":            {nil, nil},
		"a pod with another label's text": {map[string]string{"app": "web"}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, svc := range s.ServicesSelecting(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p", Labels: tc.labels}}) {
				got = append(got, svc.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkServicesSelecting looks up the Services of every pod of a namespace in which each of 16,000
// pods has a Service of its own and all share a label.
func BenchmarkServicesSelecting(b *testing.B) {
	const n = 16_000
	builder := NewBuilder(moment, Source{})
	for i := range n {
		set := map[string]string{"part-of": "shop", "app": fmt.Sprint("app-", i)}
		meta := metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("app-", i), Labels: set}
		builder.Add(&corev1.Pod{ObjectMeta: meta})
		builder.Add(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: set}})
	}
	s := builder.Build()
	for b.Loop() {
		for _, pod := range List[*corev1.Pod](s) {
			if len(s.ServicesSelecting(pod)) != 1 {
				b.Fatalf("%s has not one Service", pod.Name)
			}
		}
	}
}

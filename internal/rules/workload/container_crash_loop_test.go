package workload

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestNeedsAPIServer(t *testing.T) {
	mirror := map[string]string{corev1.MirrorPodAnnotationKey: "0f"}
	tests := map[string]struct {
		namespace, name string
		annotations     map[string]string
		want            bool
	}{
		"a scheduler that is a static pod ends without an API server": {"kube-system", "kube-scheduler-cp1", mirror, true},
		"etcd ends for reasons of its own":                            {"kube-system", "etcd-cp1", mirror, false},
		"a pod that only has the name does too":                       {"kube-system", "kube-scheduler-cp1", nil, false},
		"so does one in another namespace":                            {"shop", "kube-scheduler-cp1", mirror, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), snapshot.Source{})
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: tc.namespace, Name: tc.name, Annotations: tc.annotations},
				Spec:       corev1.PodSpec{NodeName: "cp1"},
			}
			b.Add(pod)
			effect := finding.Finding{Code: "ContainerCrashLoop", Subject: snapshot.SubjectOf(pod)}
			if got := needsAPIServer(b.Build(), effect, finding.Finding{Code: "ApiServerNotReady"}); got != tc.want {
				t.Errorf("needsAPIServer is %v, want %v", got, tc.want)
			}
		})
	}
}

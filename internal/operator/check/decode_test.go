package check

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestWhatIsKeptOfChecks holds that nobody fills the memory of all replicas with what no run reads.
func TestWhatIsKeptOfChecks(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	made := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Local())
	const wish = "2026-01-02T03:04:05Z"
	meta := metav1.ObjectMeta{
		Namespace: "shop", Name: "web", UID: "u", ResourceVersion: "7", Generation: 3, CreationTimestamp: made, DeletionTimestamp: &made,
	}
	tests := map[string]struct {
		annotations     map[string]string
		account         string
		wantAnnotations map[string]string
		wantAccount     string
	}{
		"what is read":       {map[string]string{v1alpha1.AnnotationRunNow: wish}, "runner", map[string]string{v1alpha1.AnnotationRunNow: wish}, "runner"},
		"what others read":   {map[string]string{corev1.LastAppliedConfigAnnotation: large, "example.com/note": large}, "", nil, ""},
		"what cannot be one": {map[string]string{v1alpha1.AnnotationRunNow: large}, large, nil, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := &v1alpha1.Check{ObjectMeta: meta}
			check.Annotations, check.Labels, check.Finalizers = tc.annotations, map[string]string{"app": "web"}, []string{"example.com/" + large}
			check.OwnerReferences = []metav1.OwnerReference{{Name: large}}
			check.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: large}}
			check.Spec.PeriodSeconds = 10
			check.Spec.PodTemplate = &corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": large}},
				Spec:       corev1.PodSpec{ServiceAccountName: tc.account, Containers: []corev1.Container{{Name: "a", Args: []string{large}}}},
			}
			check.Status = v1alpha1.CheckStatus{Observer: "a", ObservedGeneration: 3}
			raw, err := objectOf(check)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(raw)
			if err != nil || got.refusal != nil {
				t.Fatal(err, got.refusal)
			}
			want := &v1alpha1.Check{ObjectMeta: meta, Status: check.Status}
			want.Annotations = tc.wantAnnotations
			want.Spec.PeriodSeconds = 10
			want.Spec.PodTemplate = &corev1.PodTemplateSpec{Spec: corev1.PodSpec{ServiceAccountName: tc.wantAccount}}
			if diff := cmp.Diff(want, got.Check); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

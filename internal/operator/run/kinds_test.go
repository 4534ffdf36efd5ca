package run

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestWhoseAddressStandsForAToken holds that no pod is known by an address that others have too.
func TestWhoseAddressStandsForAToken(t *testing.T) {
	for name, tc := range map[string]struct {
		hostNetwork bool
		want        []string
	}{
		"a pod of the pods' network": {want: []string{"10.244.1.7", "fd00::7"}},
		"a pod of its node's":        {hostNetwork: true},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				Spec:   corev1.PodSpec{HostNetwork: tc.hostNetwork},
				Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.244.1.7"}, {IP: "fd00::7"}}},
			}
			if diff := cmp.Diff(tc.want, indexes(podKind)[indexAddress](pod)); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhosePodItIs holds that the pods of Maek's own Checks, which bear the same label, are nobody's here.
func TestWhosePodItIs(t *testing.T) {
	for name, tc := range map[string]struct {
		apiVersion, kind string
		want             bool
	}{
		"a khcheck's":        {"comcast.github.io/v1", "KuberhealthyCheck", true},
		"a khjob's":          {"comcast.github.io/v1", "KuberhealthyJob", true},
		"a HealthCheck's":    {"kuberhealthy.github.io/v2", "HealthCheck", true},
		"a Check's":          {"maek.dev/v1alpha1", "Check", false},
		"another group's":    {"example.com/v1", "HealthCheck", false},
		"a CronJob's, never": {"batch/v1", "CronJob", false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", OwnerReferences: []metav1.OwnerReference{
				{APIVersion: tc.apiVersion, Kind: tc.kind, Name: "open", Controller: new(true)},
			}}}
			k, got := ownerKey(pod)
			if got != tc.want || got && k != (key{tc.kind, types.NamespacedName{Namespace: "shop", Name: "open"}}) {
				t.Errorf("it is the pod of %s: %t, want %t", k, got, tc.want)
			}
		})
	}
}

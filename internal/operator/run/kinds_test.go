package run

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
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

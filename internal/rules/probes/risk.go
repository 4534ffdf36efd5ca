package probes

import (
	"iter"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// serving yields of each workload that runs for good the newest version: what a definition alone says is said
// of those. Static pods are the control plane's own, whose probes kubeadm writes.
func (f families) serving() iter.Seq[*family] {
	return func(yield func(*family) bool) {
		for one := range f.newest() {
			pod := one.pods[0]
			forGood := pod.Spec.RestartPolicy == "" || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways
			if forGood && !snapshot.StaticPod(pod) && !yield(one) {
				return
			}
		}
	}
}

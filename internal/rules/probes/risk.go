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

// eachFirst yields of each workload the first probe for which a test holds.
func eachFirst(s *snapshot.Snapshot, test func(probe) bool) func(func(probe) bool) {
	return func(yield func(probe) bool) {
		for f := range familiesOf(s).serving() {
			if one, ok := f.first(test); ok && !yield(one) {
				return
			}
		}
	}
}

// first probe of a family for which a test holds.
func (f *family) first(test func(probe) bool) (probe, bool) {
	for at := range f.places(f.pods[0]) {
		for _, one := range at.probes() {
			if test(one) {
				return one, true
			}
		}
	}
	return probe{}, false
}

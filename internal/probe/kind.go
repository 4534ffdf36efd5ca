package probe

import corev1 "k8s.io/api/core/v1"

// Kind says which of a container's probes one is, as the kubelet names it in events.
type Kind string

// The kinds.
const (
	Liveness  Kind = "Liveness"
	Readiness Kind = "Readiness"
	Startup   Kind = "Startup"
)

// Kinds are all of them, in the order in which the kubelet starts their workers.
func Kinds() []Kind { return []Kind{Startup, Readiness, Liveness} }

// Of returns a container's probe of this kind; nil where it has none.
func (k Kind) Of(container *corev1.Container) *corev1.Probe {
	switch k {
	case Liveness:
		return container.LivenessProbe
	case Readiness:
		return container.ReadinessProbe
	case Startup:
		return container.StartupProbe
	default:
		return nil
	}
}

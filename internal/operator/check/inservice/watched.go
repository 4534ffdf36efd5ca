package inservice

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// pod is what is kept of one that names the gate.
type pod struct {
	types.NamespacedName
	uid     types.UID
	version string
	// leaving tells that it is terminating or done.
	leaving bool
	ready   bool
	// gate is the condition; nil while it has none.
	gate *corev1.PodCondition
}

// podOf reads a pod; ok is false for one that does not name the gate.
func podOf(p *corev1.Pod) (_ pod, ok bool) {
	names := slices.ContainsFunc(p.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool {
		return g.ConditionType == v1alpha1.ReadinessGateInService
	})
	out := pod{
		NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name},
		uid:            p.UID, version: p.ResourceVersion, leaving: leaving(p),
	}
	for i := range p.Status.Conditions {
		switch c := p.Status.Conditions[i]; c.Type {
		case corev1.PodReady:
			out.ready = c.Status == corev1.ConditionTrue
		case v1alpha1.ReadinessGateInService:
			out.gate = &c
		default:
		}
	}
	return out, names
}

func leaving(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// out tells that the gate holds the pod back: whatever is not True does (the kubelet's
// pkg/kubelet/status/generate.go, GeneratePodReadyCondition).
func (p pod) out() bool { return p.gate != nil && p.gate.Status != corev1.ConditionTrue }

// sighting is what this replica has seen of a pod by its own count of time, which no clock that is set moves.
type sighting struct {
	of types.UID
	// absent is since when it has no condition, and out since when it is held back; negative where it is not.
	absent, out time.Duration
	// probe is the condition's lastProbeTime, and unchanged since when it is that.
	probe     time.Time
	unchanged time.Duration
	// due is since when it is to be given back; negative where it is not.
	due time.Duration
}

const never = time.Duration(-1)

// sight brings a sighting up to date.
func (s sighting) sight(p pod, age time.Duration) sighting {
	if s.of != p.uid {
		s = sighting{of: p.uid, absent: never, out: never, due: never, unchanged: age}
	}
	since := func(already time.Duration, holds bool) time.Duration {
		switch {
		case !holds:
			return never
		case already == never:
			return age
		}
		return already
	}
	if out := since(s.out, p.out()); out != s.out {
		s.out, s.unchanged, s.due = out, age, never
	}
	s.absent = since(s.absent, p.gate == nil)
	if p.gate != nil && !p.gate.LastProbeTime.Time.Equal(s.probe) {
		s.probe, s.unchanged = p.gate.LastProbeTime.Time, age
	}
	return s
}

// workload names what a pod belongs to: its controller, and for a ReplicaSet of a Deployment the
// Deployment, so that a rollout is one workload and not two. Deployments name their ReplicaSets
// NAME-HASH and label their pods with the hash (pkg/controller/deployment/sync.go, getNewReplicaSet).
func workload(p *corev1.Pod) string {
	for _, o := range p.OwnerReferences {
		if o.Controller == nil || !*o.Controller {
			continue
		}
		if hash := p.Labels["pod-template-hash"]; o.Kind == "ReplicaSet" && hash != "" {
			if name, ok := strings.CutSuffix(o.Name, "-"+hash); ok {
				return p.Namespace + "/Deployment/" + name
			}
		}
		return p.Namespace + "/" + o.Kind + "/" + o.Name
	}
	return p.Namespace + "/Pod/" + p.Name
}

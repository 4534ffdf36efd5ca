package checks

import (
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// runners are those who run checks: Kuberhealthys, and Maek's operator.
type runners struct {
	kuberhealthy, maek []*corev1.Pod
	// deployments of either, which there are though no pod of theirs serves.
	deployments []*appsv1.Deployment
	// leading are the Leases of Kuberhealthy 3, and sharing those of the replicas of Maek's operator.
	leading, sharing []*coordinationv1.Lease
}

// The images of those who run checks end so, whatever registry they come from.
const (
	kuberhealthyImage = "kuberhealthy"
	maekImage         = "maek-operator"
)

// runnerNeeds are the kinds by which runners are known.
func runnerNeeds() []rule.Need {
	return []rule.Need{rule.Optional[*corev1.Pod](), rule.Optional[*appsv1.Deployment](), rule.Optional[*coordinationv1.Lease]()}
}

func runnersOf(s *snapshot.Snapshot) *runners {
	return snapshot.Derived(s, func() *runners {
		r := &runners{}
		for _, pod := range snapshot.List[*corev1.Pod](s) {
			if snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
				continue
			}
			switch runnerImage(&pod.Spec) {
			case kuberhealthyImage:
				r.kuberhealthy = append(r.kuberhealthy, pod)
			case maekImage:
				r.maek = append(r.maek, pod)
			}
		}
		for _, d := range snapshot.List[*appsv1.Deployment](s) {
			if runnerImage(&d.Spec.Template.Spec) != "" {
				r.deployments = append(r.deployments, d)
			}
		}
		for _, lease := range snapshot.List[*coordinationv1.Lease](s) {
			switch {
			case lease.Name == khv2.DefaultLease:
				r.leading = append(r.leading, lease)
			case lease.Labels[v1alpha1.LabelRing] == v1alpha1.RingOperator:
				r.sharing = append(r.sharing, lease)
			}
		}
		return r
	})
}

// runnerImage tells whose image is among the containers of a pod; empty where there is none of them.
func runnerImage(spec *corev1.PodSpec) string {
	for i := range spec.Containers {
		switch name := snapshot.ParseImage(spec.Containers[i].Image).Name(); name {
		case kuberhealthyImage, maekImage:
			return name
		}
	}
	return ""
}

// ready are the pods that serve.
func ready(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		if snapshot.PodReady(pod) {
			out = append(out, pod)
		}
	}
	return out
}

// living are the Leases whose holders renew them.
func living(s *snapshot.Snapshot, leases []*coordinationv1.Lease) []*coordinationv1.Lease {
	var out []*coordinationv1.Lease
	for _, lease := range leases {
		if s.Writer(snapshot.Writer{Namespace: lease.Namespace, Name: lease.Name}).State == snapshot.Alive {
			out = append(out, lease)
		}
	}
	return out
}

// alive tells whether anybody serves who could run checks.
func (r *runners) alive(s *snapshot.Snapshot) bool {
	return len(ready(r.kuberhealthy))+len(ready(r.maek))+len(living(s, r.leading))+len(living(s, r.sharing)) > 0
}

// workloads are the Deployments of those who run checks.
func (r *runners) workloads() []finding.Subject {
	var out []finding.Subject
	for _, d := range r.deployments {
		out = append(out, snapshot.SubjectOf(d))
	}
	return out
}

// evidence of who there is to run checks.
func (r *runners) evidence(s *snapshot.Snapshot) []finding.Evidence {
	var out []finding.Evidence
	for _, lease := range append(append([]*coordinationv1.Lease(nil), r.sharing...), r.leading...) {
		out = append(out, s.Writer(snapshot.Writer{Namespace: lease.Namespace, Name: lease.Name}).Evidence...)
	}
	for _, d := range r.deployments {
		out = append(out, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(d)), Path: ".status.readyReplicas", Value: decimal(int(d.Status.ReadyReplicas))})
	}
	return out
}

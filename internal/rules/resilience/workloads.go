package resilience

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// workload is a Deployment or StatefulSet that is to run.
type workload struct {
	subject  finding.Subject
	replicas int
	template *corev1.PodTemplateSpec
	// pods that run and are ready.
	pods []*corev1.Pod
}

// workloadNeeds are the kinds that workloads reads.
func workloadNeeds() []rule.Need {
	return append(rule.Owners(), rule.Any[*corev1.Pod](), rule.Any[*appsv1.Deployment](), rule.Any[*appsv1.StatefulSet]())
}

// workloads returns the Deployments and StatefulSets that are to run, by namespace, kind and name.
func workloads(s *snapshot.Snapshot) []workload {
	var out []workload
	add := func(o snapshot.Object, kind string, replicas *int32, template *corev1.PodTemplateSpec) {
		w := workload{
			subject:  finding.Subject{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()},
			replicas: snapshot.Replicas(replicas), template: template,
		}
		if w.replicas == 0 {
			return
		}
		for _, p := range s.PodsOf(w.subject) {
			if p.DeletionTimestamp == nil && snapshot.PodReady(p) {
				w.pods = append(w.pods, p)
			}
		}
		out = append(out, w)
	}
	for _, d := range snapshot.List[*appsv1.Deployment](s) {
		add(d, "Deployment", d.Spec.Replicas, &d.Spec.Template)
	}
	for _, d := range snapshot.List[*appsv1.StatefulSet](s) {
		add(d, "StatefulSet", d.Spec.Replicas, &d.Spec.Template)
	}
	slices.SortStableFunc(out, func(a, b workload) int {
		return cmp.Or(cmp.Compare(a.subject.Namespace, b.subject.Namespace), finding.CompareSubjects(a.subject, b.subject))
	})
	return out
}

// services are the Services in front of a workload, each once.
func (w workload) services(s *snapshot.Snapshot) []finding.Subject {
	var out []finding.Subject
	for _, p := range w.pods {
		for _, svc := range s.ServicesSelecting(p) {
			out = append(out, finding.Subject{Kind: "Service", Namespace: svc.Namespace, Name: svc.Name})
		}
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// oneNode is the node on which all ready pods of a workload run; empty where they run on several, or
// where it cannot be told.
func (w workload) oneNode() string {
	if len(w.pods) == 0 {
		return ""
	}
	node := w.pods[0].Spec.NodeName
	for _, p := range w.pods {
		if p.Spec.NodeName != node {
			return ""
		}
	}
	return node
}

// names of workloads as people type them.
func names(ws []workload) []string {
	var out []string
	for _, w := range ws {
		out = append(out, finding.Named(w.subject))
	}
	return out
}

// subjects of workloads and of the Services in front of them, each once.
func subjects(s *snapshot.Snapshot, ws []workload) []finding.Subject {
	var out []finding.Subject
	for _, w := range ws {
		out = append(out, w.subject)
		out = append(out, w.services(s)...)
	}
	slices.SortFunc(out, finding.CompareSubjects)
	return slices.Compact(out)
}

// controlPlaneLabel marks the machines of the control plane (k8s.io/kubernetes/cmd/kubeadm/app/constants).
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

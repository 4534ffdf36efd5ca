package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ClusterDNSDown",
	Title: finding.Text{
		EN: "cluster DNS has no server",
		KO: "클러스터 DNS 서버가 없습니다",
	},
	Doc: finding.Text{
		EN: "The Service of cluster DNS (kube-system, label k8s-app=kube-dns) has no ready endpoint, so no name can be looked up in any pod, and programs everywhere fail over names. " +
			"Where its Deployment was scaled to zero that is the cause, with who did it and when; otherwise the finding is a symptom of what ails its pods: their node, their image, " +
			"their configuration. A cluster without such a Service has its DNS elsewhere and is skipped, and so is one whose kubelets give pods the cloud's own server of names. A rolling restart with one server left, and a Service that has no endpoint " +
			"for less than half a minute, are left alone.",
		KO: "클러스터 DNS의 Service(kube-system, 레이블 k8s-app=kube-dns)에 준비된 endpoint가 없어 어느 Pod에서도 이름을 조회할 수 없고, 이름을 쓰는 프로그램이 모두 실패합니다. Deployment의 replica가 0이면 그것이 원인이며 누가 언제 바꿨는지 알립니다. " +
			"그 밖에는 DNS Pod에 생긴 문제(노드, 이미지, 설정)의 증상으로 다룹니다. 이 Service가 없거나 kubelet이 Pod에 클라우드의 네임 서버를 주는 클러스터는 DNS가 다른 곳에 있으므로 제외합니다. 서버가 하나라도 남아 있는 rolling restart와 30초가 안 된 상태는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
	Severity: finding.Critical,
	Needs: []rule.Need{
		rule.Whole[*corev1.Service](), rule.Any[*corev1.Pod](), rule.Optional[*discoveryv1.EndpointSlice](),
		rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.DaemonSet](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Node](),
	},
	For:     30 * time.Second,
	Symptom: true,
	Causes: []rule.Cause{
		{Code: "PodNotReady", Via: rule.HasPod},
		{Code: "ReadinessProbeFailing", Via: rule.Serves},
		{Code: "ContainerCrashLoop", Via: rule.Serves},
		{Code: "ContainerOOMKilled", Via: rule.Serves},
		{Code: "ImageNotFound", Via: rule.Serves},
		{Code: "ImageNameInvalid", Via: rule.Serves},
		{Code: "ImagePullDenied", Via: rule.Serves},
		{Code: "PodUnschedulable", Via: rule.Serves},
		{Code: "PodStuckCreating", Via: rule.Serves},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: lacksController},
	},
	Detect: detectClusterDNSDown,
})

// The label by which every installer marks the Service of cluster DNS and its pods, whichever
// server is behind it (k8s.io/kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go).
const (
	dnsLabel = "k8s-app"
	dnsValue = "kube-dns"
)

func detectClusterDNSDown(p *rule.Pass) {
	services := slices.DeleteFunc(slices.Clone(snapshot.List[*corev1.Service](p.Snapshot)), func(s *corev1.Service) bool {
		return s.Namespace != metav1.NamespaceSystem || s.Labels[dnsLabel] != dnsValue || s.Spec.Type == corev1.ServiceTypeExternalName
	})
	if len(services) == 0 {
		p.Skip(finding.Text{
			EN: "there is no Service in kube-system with label k8s-app=kube-dns: cluster DNS is elsewhere",
			KO: "kube-system에 레이블 k8s-app=kube-dns인 Service가 없습니다. 클러스터 DNS가 다른 곳에 있습니다",
		})
		return
	}
	var down []*corev1.Service
	for _, svc := range services {
		switch service(p.Snapshot, svc) {
		case up:
			return // one Service that answers is enough: a pod's resolv.conf names one
		case unsure:
			p.Skip(finding.Textf("Service %s/%s: the controller manager and the kubelets of its pods do not report, so whether DNS answers cannot be told",
				"Service %s/%s: controller manager와 DNS Pod의 kubelet이 모두 보고하지 않아 DNS 응답 여부를 알 수 없습니다", svc.Namespace, svc.Name))
			return
		case gone:
			down = append(down, svc)
		}
	}
	for _, svc := range down {
		if scaledToZero(p.Snapshot, svc) != nil && askElsewhere(p) {
			p.Skip(finding.Textf("Service %s/%s is scaled to zero, and kubelets give pods the address %s: cluster DNS is elsewhere",
				"Service %s/%s의 replica가 0이고 kubelet이 Pod에 주는 네임 서버는 %s입니다. 클러스터 DNS가 다른 곳에 있습니다", svc.Namespace, svc.Name, machineDNS))
			return
		}
		p.Report(noServer(p, svc))
	}
}

// machineDNS is the address at which the cloud's own server of names answers on a machine. Kubelets give it to
// pods where that replaces cluster DNS, and what served before may be scaled to zero
// (https://cloud.google.com/kubernetes-engine/docs/how-to/cloud-dns).
const machineDNS = "169.254.169.254"

// askElsewhere tells whether pods are given the cloud's own server of names.
func askElsewhere(p *rule.Pass) bool {
	nodes := snapshot.List[*corev1.Node](p.Snapshot)
	i := slices.IndexFunc(nodes, nodeReady)
	return i >= 0 && strings.HasPrefix(nodes[i].Spec.ProviderID, "gce://") && givenByKubelet(p, nodes[i].Name).String() == machineDNS
}

// lacksController tells whether the Service lacks what only a controller would make: pods, or the
// endpoints of pods that are ready.
func lacksController(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	svc, ok := snapshot.Get[*corev1.Service](s, effect.Subject.Namespace, effect.Subject.Name)
	if !ok {
		return false
	}
	pods := servers(s, svc)
	return len(pods) == 0 || slices.ContainsFunc(pods, snapshot.PodReady)
}

// affects says what it means.
var affects = finding.Text{
	EN: "No pod can look up a name: programs that connect by name fail in every namespace, and those that hold connections go on until they reconnect.",
	KO: "어느 Pod에서도 이름을 조회할 수 없습니다. 모든 namespace에서 이름으로 연결하는 프로그램이 실패하며, 이미 연결된 프로그램은 다시 연결할 때까지 동작합니다.",
}

func noServer(p *rule.Pass, svc *corev1.Service) finding.Finding {
	if d := scaledToZero(p.Snapshot, svc); d != nil {
		return stopped(p.Snapshot, svc, d)
	}
	pods := servers(p.Snapshot, svc)
	f := finding.Finding{
		Subject:   snapshot.SubjectOf(svc),
		Mechanism: v1alpha1.MechanismFailing,
		Title:     finding.Textf("cluster DNS (Service %s/%s) has no server", "클러스터 DNS(Service %s/%s)에 서버가 없습니다", svc.Namespace, svc.Name),
		Explains:  []finding.Subject{snapshot.SubjectOf(svc)},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "see what its pods wait for", KO: "DNS Pod의 상태를 확인합니다"},
					Command: fmt.Sprintf("kubectl -n %s get pods -l %s=%s -o wide", svc.Namespace, dnsLabel, dnsValue),
				},
				{
					Text:    finding.Text{EN: "and what they say", KO: "DNS Pod의 로그를 확인합니다"},
					Command: fmt.Sprintf("kubectl -n %s logs -l %s=%s --tail 20 --prefix", svc.Namespace, dnsLabel, dnsValue),
				},
			},
			Later: spread(),
		},
	}
	if len(pods) == 0 {
		f.Mechanism = v1alpha1.MechanismMissing
		f.Remedies.Now = []finding.Remedy{
			{
				Text:    finding.Text{EN: "see what is left of it", KO: "남아 있는 것을 확인합니다"},
				Command: fmt.Sprintf("kubectl -n %s get deployments,daemonsets,replicasets -l %s=%s", svc.Namespace, dnsLabel, dnsValue),
			},
			{Text: finding.Text{
				EN: "on a kubeadm cluster, on a control-plane machine: `kubeadm init phase addon coredns` puts it back",
				KO: "kubeadm 클러스터라면 control plane 머신에서 `kubeadm init phase addon coredns`로 다시 설치합니다",
			}},
		}
		f.Why = finding.Join(" ", finding.Textf("No pod carries the labels that Service %s/%s selects.",
			"Service(%s/%s)의 selector에 해당하는 Pod가 없습니다.", svc.Namespace, svc.Name), maker(p.Snapshot, svc), affects)
		f.Evidence = []finding.Evidence{{
			Source: fmt.Sprintf("Service %s/%s", svc.Namespace, svc.Name), Path: ".spec.selector", Value: finding.Quote(metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: svc.Spec.Selector})),
		}}
		return f
	}
	const readable = 4
	ready := 0
	for i, pod := range pods {
		c := snapshot.PodCondition(pod, corev1.PodReady)
		if snapshot.PodReady(pod) {
			ready++
		}
		if c == nil {
			f.Since = finding.Later(f.Since, pod.CreationTimestamp.Time)
			continue
		}
		f.Since = finding.Later(f.Since, c.LastTransitionTime.Time)
		if i < readable {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: fmt.Sprintf("Pod %s/%s", pod.Namespace, pod.Name), Path: ".status.conditions[Ready]",
				Value: finding.Quote(fmt.Sprintf("%s %s on node %s", c.Status, cmp.Or(c.Reason, "-"), pod.Spec.NodeName)), At: finding.Timestamp(c.LastTransitionTime.Time),
			})
		}
	}
	f.Why = finding.Textf("%d of %d DNS pods are ready.", "DNS Pod %[2]d개 중 %[1]d개가 준비되었습니다.", ready, len(pods))
	if ready > 0 {
		f.Why = finding.Join(" ", f.Why, finding.Textf("Yet Service %s/%s has no ready endpoint, so nothing leads to them.",
			"그러나 Service(%s/%s)에 준비된 endpoint가 없어 연결되지 않습니다.", svc.Namespace, svc.Name))
	}
	f.Why = finding.Join(" ", f.Why, affects)
	return f
}

func spread() []finding.Remedy {
	return []finding.Remedy{{Text: finding.Text{
		EN: "run two servers or more on different nodes (topologySpreadConstraints, a PodDisruptionBudget), and NodeLocal DNSCache to bear short outages",
		KO: "DNS 서버를 2개 이상 서로 다른 노드에 두고(topologySpreadConstraints, PodDisruptionBudget), 짧은 중단을 견디도록 NodeLocal DNSCache를 사용합니다",
	}}}
}

// stopped is cluster DNS whose Deployment was scaled to zero.
func stopped(s *snapshot.Snapshot, svc *corev1.Service, d *appsv1.Deployment) finding.Finding {
	manager, at := lastScaler(d)
	if emptied := lastEmptied(s, svc); at.Before(emptied.Add(-scaleToEndpoints)) {
		manager, at = "", emptied
	}
	name := d.Namespace + "/" + d.Name
	f := finding.Finding{
		Subject:   snapshot.SubjectOf(d),
		Mechanism: v1alpha1.MechanismStopped,
		Field:     ".spec.replicas",
		Since:     at,
		Title:     finding.Textf("cluster DNS is off: Deployment %s is scaled to 0", "클러스터 DNS가 꺼져 있습니다: Deployment %s의 replica가 0입니다", name),
		Why: finding.Join(" ", finding.Textf("Deployment %s has .spec.replicas 0, and Service %s/%s therefore no server.",
			"Deployment %s의 .spec.replicas가 0이어서 Service(%s/%s)에 서버가 없습니다.", name, svc.Namespace, svc.Name)),
		Evidence: []finding.Evidence{{Source: "Deployment " + name, Path: ".spec.replicas", Value: "0", At: finding.Timestamp(at)}},
		Explains: []finding.Subject{snapshot.SubjectOf(svc)},
		RuledOut: []finding.Statement{{Text: finding.Text{
			EN: "nodes, images and configuration of the DNS servers: none was asked to run",
			KO: "DNS 서버의 노드, 이미지, 설정: 실행하도록 요청된 서버가 없습니다",
		}}},
		Remedies: finding.Remedies{
			Now:   []finding.Remedy{{Text: finding.Text{EN: "start it again", KO: "다시 시작합니다"}, Command: fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=2", d.Namespace, d.Name)}},
			Later: spread(),
		},
	}
	if manager != "" {
		f.Why = finding.Join(" ", f.Why, finding.Textf("It was last changed at %s by %q.", "마지막 변경: %s, %q.", finding.Clock(s.Now(), at), manager))
	}
	f.Why = finding.Join(" ", f.Why, affects)
	return f
}

// scaleToEndpoints is how long after a Deployment is scaled its last endpoint may go: the time that
// its pods are given to end, and some for the controllers.
const scaleToEndpoints = 2 * time.Minute

// lastEmptied is when the EndpointSlices of a Service were last written; for one without endpoints,
// when the last of them went. It dates a scaling to zero, which leaves no trace of its own: the
// scale subresource records no manager for a field that it leaves out, as it does with zero
// (k8s.io/api/autoscaling/v1, ScaleSpec).
func lastEmptied(s *snapshot.Snapshot, svc *corev1.Service) time.Time {
	var at time.Time
	for _, slice := range s.EndpointSlicesOf(svc) {
		at = finding.Later(at, snapshot.SpecWritten(slice))
	}
	return at
}

// subresourceScale is what `kubectl scale` and autoscalers write through.
const subresourceScale = "scale"

// lastScaler returns who last wrote a Deployment's scale and when: through the scale subresource,
// or else in the object itself.
func lastScaler(d *appsv1.Deployment) (manager string, at time.Time) {
	for _, f := range d.ManagedFields {
		if f.Subresource == subresourceScale && f.Time != nil && f.Time.After(at) {
			manager, at = f.Manager, f.Time.Time
		}
	}
	if byHand, when := snapshot.LastManager(d); when.After(at) {
		return byHand, when
	}
	return manager, at
}

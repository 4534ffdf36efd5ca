package controlplane

import (
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CloudControllerManagerDown",
	Title: finding.Text{EN: "no cloud controller manager prepares nodes", KO: "cloud controller manager가 노드를 초기화하지 않습니다"},
	Doc: finding.Text{
		EN: "Nodes carry the taint node.cloudprovider.kubernetes.io/uninitialized for more than five minutes: their kubelets were told that an external cloud controller manager prepares them, and none does. Pods that do not tolerate the " +
			"taint cannot be placed there, load balancers and routes are not made either. The Lease cloud-controller-manager tells whether one runs at all; one that runs may not know the machine. A node that joined a minute ago is left alone.",
		KO: "노드에 node.cloudprovider.kubernetes.io/uninitialized taint가 5분 넘게 남아 있습니다. kubelet은 외부 cloud controller manager가 노드를 초기화하도록 설정되었으나 초기화되지 않은 상태입니다. 이 taint를 허용하지 않는 Pod는 배치되지 않으며 " +
			"로드 밸런서와 route도 만들어지지 않습니다. Lease cloud-controller-manager로 실행 여부를 구분하며, 실행 중이면 그 머신을 찾지 못하는 것입니다. 방금 참여한 노드는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/running-cloud-controller/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    append(rule.Owners(), rule.Any[*corev1.Node](), rule.Optional[*corev1.Pod](), rule.Optional[*coordinationv1.Lease]()),
	For:      5 * time.Minute,
	Detect:   detectCloudControllerManagerDown,
})

// uninitialized is the taint with which a kubelet registers that runs with --cloud-provider=external
// (k8s.io/cloud-provider/api, TaintExternalCloudProvider).
const uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

// cloudControllerManager is its leader election Lease
// (k8s.io/cloud-provider/options, NewCloudControllerManagerOptions).
var cloudControllerManager = snapshot.Writer{Namespace: metav1.NamespaceSystem, Name: "cloud-controller-manager"}

func detectCloudControllerManagerDown(p *rule.Pass) {
	var waiting []*corev1.Node
	nodes := snapshot.List[*corev1.Node](p.Snapshot)
	for _, n := range nodes {
		if slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == uninitialized }) {
			waiting = append(waiting, n)
		}
	}
	if len(waiting) == 0 {
		return
	}
	lease := p.Writer(cloudControllerManager)
	f := finding.Finding{
		Subject:   finding.Subject{Kind: "Lease", Namespace: cloudControllerManager.Namespace, Name: cloudControllerManager.Name},
		Mechanism: v1alpha1.MechanismStopped, Evidence: lease.Evidence,
	}
	var names []string
	const readable = 3
	for i, n := range waiting {
		names = append(names, n.Name)
		f.Since = finding.Earlier(f.Since, n.CreationTimestamp.Time)
		f.Explains = append(f.Explains, snapshot.SubjectOf(n))
		if i < readable {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: "Node " + n.Name, Path: ".spec.taints", Value: uninitialized, At: finding.Timestamp(n.CreationTimestamp.Time)})
		}
	}
	unplaced := 0
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Namespace == metav1.NamespaceSystem && strings.Contains(pod.Name, cloudControllerManager.Name) && !snapshot.PodDone(pod) {
			f.WaitsFor = append(f.WaitsFor, snapshot.SubjectOf(pod), p.Workload(pod))
		}
		if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse && strings.Contains(c.Message, uninitialized) {
			unplaced++
			f.Explains = append(f.Explains, snapshot.SubjectOf(pod), p.Workload(pod))
		}
	}
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	if len(waiting) == len(nodes) {
		f.Severity = finding.Critical
	}
	var how finding.Text
	switch {
	case lease.State == snapshot.Alive:
		f.Mechanism, f.Confidence = v1alpha1.MechanismFailing, v1alpha1.ConfidenceMedium
		how = finding.Text{
			EN: "A cloud controller manager renews its Lease and has not prepared them: it does not find these machines (providerID, name, zone) or the cloud refuses its calls.",
			KO: "cloud controller manager는 Lease를 갱신하고 있지만 이 노드를 초기화하지 않았습니다. 머신을 찾지 못하거나(providerID, 이름, zone) 클라우드 API가 호출을 거부하는 것입니다.",
		}
	case lease.State == snapshot.Dead:
		how = finding.Textf("Its Lease was last renewed at %s: no cloud controller manager runs.", "Lease의 마지막 갱신은 %s이며 실행 중인 cloud controller manager가 없습니다.", finding.Clock(p.Now(), lease.LastSeen))
	case len(f.WaitsFor) == 0:
		how = finding.Text{EN: "There is neither a Lease of a cloud controller manager nor a pod of one: none was installed.", KO: "cloud controller manager의 Lease도 Pod도 없습니다. 설치되지 않은 것입니다."}
	default:
		how = finding.Text{EN: "A cloud controller manager is there as a pod and holds no Lease.", KO: "cloud controller manager Pod는 있지만 Lease가 없습니다."}
	}
	list := finding.List(names)
	f.Title = finding.Format("no cloud controller manager prepares nodes %s", "cloud controller manager가 노드(%s)를 초기화하지 않습니다", list)
	f.Why = finding.Join(" ", finding.Textf("%d of %d nodes carry the taint %s.", "노드 %[2]d개 중 %[1]d개에 %[3]s taint가 있습니다.", len(waiting), len(nodes), uninitialized), how,
		finding.Textf("Pods that cannot be placed because of it: %d.", "이 때문에 배치되지 못하는 Pod는 %d개입니다.", unplaced))
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{{
			Text:    finding.Text{EN: "is it there, and what does it say", KO: "실행 중인지, 로그가 무엇인지 확인합니다"},
			Command: "kubectl -n kube-system get pods -o wide | grep cloud-controller-manager; kubectl -n kube-system logs -l k8s-app=cloud-controller-manager --tail=50",
		}, {Text: finding.Text{
			EN: "if no cloud is meant to be used: take --cloud-provider=external from the kubelets' flags and restart them, then remove the taint",
			KO: "클라우드를 사용하지 않는다면 kubelet 플래그에서 --cloud-provider=external을 제거하고 다시 시작한 뒤 taint를 제거합니다",
		}}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "let the cloud controller manager tolerate this taint and use the host network, so that it can start on nodes that wait for it",
			KO: "cloud controller manager가 이 taint를 허용하고 host network를 사용하게 하여, 초기화를 기다리는 노드에서도 시작할 수 있게 합니다",
		}}},
	}
	p.Report(f)
}

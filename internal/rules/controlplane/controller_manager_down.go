package controlplane

import (
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ControllerManagerDown",
	Title: finding.Text{
		EN: "kube-controller-manager does not run",
		KO: "kube-controller-manager가 실행되지 않습니다",
	},
	Doc: finding.Text{
		EN: "Nobody holds the Lease kube-system/kube-controller-manager: it ran out, or was given up and not taken again. All seems well meanwhile, for the controllers that " +
			"would say otherwise are those that do not run: lost pods are not replaced, EndpointSlices keep dead addresses, dead nodes stay Ready. A cluster without that " +
			"Lease (k3s, managed control planes) is skipped, and so is one whose Lease is old while pods are still made by its controllers: leader election is off there.",
		KO: "Lease kube-system/kube-controller-manager를 가진 프로세스가 없습니다. 만료되었거나, 반납된 뒤 이어받은 프로세스가 없는 상태입니다. 이상을 알릴 controller가 멈춘 것이므로 겉으로는 정상으로 보입니다. " +
			"사라진 Pod가 다시 만들어지지 않고, EndpointSlice에 죽은 주소가 남으며, 죽은 노드가 Ready로 남습니다. 이 Lease가 없는 클러스터(k3s, 관리형 control plane)와, Lease는 오래되었지만 controller가 Pod를 계속 만드는 " +
			"클러스터(leader election을 끈 경우)는 확인 대상에서 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/leases/",
	Severity: finding.Critical,
	Needs: []rule.Need{
		rule.Whole[*coordinationv1.Lease](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*appsv1.ReplicaSet](),
	},
	For:    30 * time.Second,
	Causes: leaderCauses("kube-controller-manager"),
	Detect: detectControllerManagerDown,
})

func detectControllerManagerDown(p *rule.Pass) {
	l := leader{component: "kube-controller-manager", writer: snapshot.ControllerManager, other: snapshot.Scheduler}
	gone, ok := l.lapsed(p)
	if !ok {
		return
	}
	if made, ok := madeAfter(p, gone.LastSeen.Add(takeover)); ok {
		p.Skip(finding.Textf("Lease %s/%s is old (%s), yet %s %s/%s was made by a controller since: leader election seems to be off",
			"%s/%s Lease는 오래되었지만(%s) 그 뒤에 controller가 새 객체를 만들었습니다(%s %s/%s). leader election을 끈 것으로 보입니다",
			l.writer.Namespace, l.writer.Name, finding.Clock(p.Now(), gone.LastSeen), made.Kind, made.Namespace, made.Name))
		return
	}
	since := finding.Clock(p.Now(), gone.LastSeen)
	p.Report(finding.Finding{
		Subject:   l.subject(),
		Mechanism: gone.mechanism(),
		Field:     gone.field(),
		Since:     gone.LastSeen,
		Settling:  gone.early,
		Title:     gone.title(),
		Why: finding.Join(" ", gone.how(p.Now()), finding.Textf(
			"Until it is back nobody replaces lost pods, rolls out or scales workloads, updates the endpoints of Services, notices dead nodes or makes ServiceAccounts for new namespaces. "+
				"Counts in the status of workloads, and Ready of nodes, are those of %s. Running pods go on.",
			"복구될 때까지 사라진 Pod 재생성, 워크로드의 rollout과 scale, Service endpoint 갱신, 죽은 노드 감지, 새 namespace의 ServiceAccount 생성이 모두 멈춥니다. "+
				"워크로드 status의 개수와 노드의 Ready는 %s 시점의 값입니다. 실행 중인 Pod는 계속 동작합니다.", since)),
		Evidence: gone.evidence(),
		Explains: gone.explains(),
		RuledOut: gone.ruledOut(p),
		Remedies: finding.Remedies{Now: gone.now(), Later: moreThanOne()},
	})
}

// madeAfter finds a Pod or ReplicaSet that a controller of kube-controller-manager made after a
// time: proof that one runs, whatever its Lease says.
func madeAfter(p *rule.Pass, t time.Time) (finding.Subject, bool) {
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.CreationTimestamp.After(t) && madeByController(pod) {
			return snapshot.SubjectOf(pod), true
		}
	}
	for _, rs := range snapshot.List[*appsv1.ReplicaSet](p.Snapshot) {
		if rs.CreationTimestamp.After(t) && madeByController(rs) {
			return snapshot.SubjectOf(rs), true
		}
	}
	return finding.Subject{}, false
}

// madeByController tells whether the owner is of a group whose controllers all live in
// kube-controller-manager.
func madeByController(o metav1.Object) bool {
	ref := metav1.GetControllerOfNoCopy(o)
	return ref != nil && (strings.HasPrefix(ref.APIVersion, appsv1.GroupName+"/") || strings.HasPrefix(ref.APIVersion, "batch/"))
}

package network

import (
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceWithoutEndpoints",
	Title: finding.Text{EN: "Service has no ready endpoint", KO: "Service에 Ready endpoint가 없습니다"},
	Doc: finding.Text{
		EN: "A Service that selects pods, or one of its ports, has no ready endpoint: whoever calls it is refused. Its pods are not ready, " +
			"there are none, its selector matches none (the finding names the workload that it most likely means and the label that " +
			"differs), or it names a port that no container declares. It is no more than a remark where the label that is missing is one that no workload " +
			"gives its pods (such labels are set on elected leaders and their replicas while they run), or where for a day nothing has resembled its selector; and a warning where the Service was made minutes ago and none of its pods has ever been ready. Left alone: ExternalName Services and those without a selector, " +
			"Services whose workloads are all scaled to zero, those of Jobs, headless Services that wait for their first pods, and pods that " +
			"are starting. EndpointSlices are written by the controller manager; when that is dead an endpoint counts only while its pod is " +
			"ready by its own status.",
		KO: "selector를 가진 Service 또는 그 포트에 Ready endpoint가 하나도 없어 호출이 모두 거부됩니다. Pod가 Ready가 아니거나, Pod가 없거나, selector와 일치하는 Pod가 없거나" +
			"(의도했을 워크로드와 서로 다른 레이블을 함께 알립니다), 컨테이너에 없는 포트 이름을 지정한 경우입니다. 없는 레이블이 어느 워크로드에도 지정되지 않은 것(리더나 replica에 실행 중 붙는 레이블)이거나, 하루 동안 selector와 비슷한 것이 전혀 없었으면 참고로만 알립니다. 만든 지 몇 분 안 되고 Pod가 한 번도 Ready가 된 적 없는 Service는 warning입니다. ExternalName, selector 없는 Service, 대상 워크로드가 모두 replicas 0인 Service, " +
			"Job의 Service, 첫 Pod를 기다리는 headless Service, 시작 중인 Pod는 제외합니다. EndpointSlice는 controller manager가 갱신하므로, 멈춘 경우에는 Pod의 상태로 판단합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/#does-the-service-have-any-endpointslices",
	Severity: finding.Critical,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Service](), rule.Whole[*corev1.Pod](), rule.Whole[*discoveryv1.EndpointSlice](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*coordinationv1.Lease](),
	}, templateKinds()),
	For:     3 * time.Minute,
	Symptom: true,
	Causes: []rule.Cause{
		{Code: "PodNotReady", Via: rule.HasPod, Holds: wantsReadyPods},
		{Code: "WorkloadUnavailable", Via: rule.Serves, Holds: wantsReadyPods},
		{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: hasReadyPods},
	},
	Detect: serviceWithoutEndpoints,
})

// hasReadyPods holds a dead controller manager against a Service: it is to blame where pods are
// ready and nobody lists them.
func hasReadyPods(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
	svc, ok := snapshot.Get[*corev1.Service](s, effect.Subject.Namespace, effect.Subject.Name)
	return ok && slices.ContainsFunc(s.PodsSelected(svc.Namespace, svc.Spec.Selector), func(pod *corev1.Pod) bool {
		return snapshot.PodReady(pod) && pod.DeletionTimestamp == nil
	})
}

// wantsReadyPods refuses pods that are not ready as the cause where others are: then it is not for
// want of ready pods that the Service has no endpoints. The finding's mechanism tells, for to look at
// all pods again for each of them would take its time on a Service with thousands.
func wantsReadyPods(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Mechanism == v1alpha1.MechanismDegraded || effect.Mechanism == v1alpha1.MechanismMissing
}

func serviceWithoutEndpoints(p *rule.Pass) {
	manager := p.Writer(snapshot.ControllerManager)
	made := templates(p)
	unjudged := 0
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if !selects(p, svc) || (manager.State != snapshot.Dead && served(p, svc)) {
			continue
		}
		b := behind(p, svc, manager)
		switch {
		case b.serving > 0 && len(b.unserved) == 0:
		case b.listed > 0 && len(b.unserved) > 0:
			if f, ok := portUnserved(p, b); ok {
				p.Report(f)
			}
		case len(b.ready) > 0:
			if missing, _ := unservedFamilies(p.Snapshot, svc); len(missing) == 0 || len(missing) < len(svc.Spec.IPFamilies) {
				p.Report(unlisted(p, b)) // Else ServiceIPFamilyUnserved tells why.
			}
		case len(b.selected) > 0:
			p.Report(noneReady(p, b))
		case !templatesKnown(p):
			unjudged++
		default:
			if f, ok := nobody(p, b, made[svc.Namespace]); ok {
				p.Report(f)
			}
		}
	}
	if unjudged > 0 {
		p.Skip(finding.Textf("Services without pods: %d; whether that is meant is not known, for workloads could not be read whole",
			"Service %d개에 Pod가 없으나 워크로드를 모두 읽지 못해 의도된 상태인지 알 수 없습니다", unjudged))
	}
}

// nobody judges a Service whose selector matches no pod.
func nobody(p *rule.Pass, b backends, made []template) (finding.Finding, bool) {
	matched, wanted := false, template{}
	for _, t := range made {
		if snapshot.Selects(b.svc.Spec.Selector, t.labels) {
			matched = true
			if t.wanted > wanted.wanted {
				wanted = t
			}
		}
	}
	switch {
	case wanted.wanted > 0:
		return podless(p, b, wanted), true
	case matched:
		return finding.Finding{}, false // Scaled to zero, or pods that come and go with Jobs.
	case b.svc.Spec.ClusterIP == corev1.ClusterIPNone:
		return finding.Finding{}, false // It waits for its first pods, as before a StatefulSet is made.
	default:
		return selectsNobody(p, b, made), true
	}
}

// since is when a Service is known to have lost its last endpoint: by the last change of its
// EndpointSlices, or by the youngest change of its pods, whichever says more.
func (b backends) since(now time.Time, patience time.Duration) time.Time {
	var pods time.Time
	for _, pod := range b.notReady() {
		pods = finding.Later(pods, snapshot.NotReadySince(pod))
	}
	since := pods
	if b.manager.State != snapshot.Dead {
		since = finding.Earlier(since, b.written)
	}
	if created := b.svc.CreationTimestamp.Time; since.IsZero() && now.Sub(created) < patience {
		return created
	}
	return since
}

package network

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "LoadBalancerPending",
	Title: finding.Text{EN: "Service gets no load balancer", KO: "Service에 로드 밸런서가 할당되지 않습니다"},
	Doc: finding.Text{
		EN: "A Service of type LoadBalancer has had no address for minutes, so nobody outside reaches it. The controller says why in events (a quota, no address left, missing rights), or no load balancer " +
			"controller runs in the cluster: nothing was ever said, and no other Service has an address. That is a remark after a day: the cluster is meant to have none, and the Service is reached by its " +
			"other addresses. Left alone: Services that are young or being deleted.",
		KO: "LoadBalancer 타입 Service에 몇 분째 주소가 없어 외부에서 접속할 수 없습니다. 컨트롤러가 이벤트로 이유(한도, 주소 부족, 권한 부족)를 알리거나, 아무 이벤트도 없고 다른 Service에도 주소가 없어 로드 밸런서 컨트롤러가 없는 것으로 보이는 경우입니다. 후자가 하루 넘게 이어지면 로드 밸런서 없이 쓰는 클러스터로 보아 참고로만 알립니다. " +
			"방금 만들었거나 삭제 중인 Service는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Service](), rule.Optional[*corev1.Event]()},
	For:      5 * time.Minute,
	Detect:   loadBalancerPending,
})

// balancerEvents are what load balancer controllers say when they fail: Kubernetes' own service
// controller (k8s.io/cloud-provider/controllers/service), AWS's and MetalLB.
var balancerEvents = map[string]bool{
	"SyncLoadBalancerFailed": true, "UnAvailableLoadBalancer": true, "UpdateLoadBalancerFailed": true,
	"FailedBuildModel": true, "FailedDeployModel": true, "AllocationFailed": true,
}

func loadBalancerPending(p *rule.Pass) {
	var pending []*corev1.Service
	given := map[string]bool{}
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		switch {
		case svc.Spec.Type != corev1.ServiceTypeLoadBalancer || svc.DeletionTimestamp != nil:
		case len(svc.Status.LoadBalancer.Ingress) > 0:
			given[balancerClass(svc)] = true
		default:
			pending = append(pending, svc)
		}
	}
	heard := map[string]bool{}
	for _, svc := range pending {
		if len(p.EventsOf(snapshot.SubjectOf(svc))) > 0 {
			heard[balancerClass(svc)] = true
		}
	}
	for _, svc := range pending {
		f := pendingBalancer(p, svc, given)
		if class := balancerClass(svc); !given[class] && !heard[class] && p.Now().Sub(f.Since) >= leftoverAfter {
			f.Severity = finding.Info
		}
		p.Report(f)
	}
}

func balancerClass(svc *corev1.Service) string {
	if svc.Spec.LoadBalancerClass == nil {
		return ""
	}
	return *svc.Spec.LoadBalancerClass
}

func pendingBalancer(p *rule.Pass, svc *corev1.Service, given map[string]bool) finding.Finding {
	subject := snapshot.SubjectOf(svc)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMissing, Since: finding.Later(svc.CreationTimestamp.Time, snapshot.SpecWritten(svc)),
		Title:    finding.Textf("%s: gets no load balancer", "%s: 로드 밸런서가 할당되지 않습니다", finding.Named(subject)),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.loadBalancer.ingress", Value: "(none)"}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see what was said about it", KO: "Service의 이벤트를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe service %s", svc.Namespace, svc.Name),
		}}},
	}
	var said *corev1.Event
	spoken := false
	for _, e := range p.EventsOf(subject) {
		spoken = true
		if balancerEvents[e.Reason] {
			said = e
		}
	}
	class := balancerClass(svc)
	switch {
	case said != nil:
		f.Mechanism = v1alpha1.MechanismFailing
		f.Why = finding.Textf("its controller: \"%s\"", "컨트롤러: \"%s\"", finding.Quote(said.Message))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "Event on " + finding.Named(subject), Path: said.Reason, Value: finding.Quote(said.Message), At: finding.Timestamp(snapshot.EventTime(said)),
		})
	case given[class]:
		f.Why = finding.Text{EN: "other Services of its kind have addresses, and no event tells why this one has none", KO: "같은 종류의 다른 Service에는 주소가 있으며, 이 Service에 주소가 없는 이유를 알리는 이벤트가 없습니다"}
		f.Confidence = v1alpha1.ConfidenceMedium
	default:
		f.Confidence = v1alpha1.ConfidenceMedium
		f.Why = finding.Text{EN: "no Service of its kind has an address and no controller said a word: the cluster seems to have no load balancer controller", KO: "같은 종류의 어느 Service에도 주소가 없고 컨트롤러의 기록도 없습니다. 클러스터에 로드 밸런서 컨트롤러가 없는 것으로 보입니다"}
		if spoken {
			f.Why = finding.Text{EN: "no Service of its kind has an address, and its events do not say why", KO: "같은 종류의 어느 Service에도 주소가 없으며 이벤트에도 이유가 없습니다"}
		}
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Text{EN: "install one (the cloud's, MetalLB, kube-vip), or, where none is wanted, let it be a NodePort", KO: "로드 밸런서 컨트롤러(클라우드 제공, MetalLB, kube-vip)를 설치하거나, 필요하지 않으면 NodePort로 바꿉니다"},
			Command: fmt.Sprintf(`kubectl -n %s patch service %s --type=merge -p '{"spec":{"type":"NodePort"}}'`, svc.Namespace, svc.Name),
		})
	}
	if class != "" {
		f.Why = finding.Join("; ", f.Why, finding.Textf("it asks for the class %q", "loadBalancerClass는 %q입니다", class))
		f.Field = ".spec.loadBalancerClass"
	}
	return f
}

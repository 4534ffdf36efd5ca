package network

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceIPFamilyUnserved",
	Title: finding.Text{EN: "Service has an IP family that its pods lack", KO: "Service의 IP family를 Pod가 지원하지 않습니다"},
	Doc: finding.Text{
		EN: "A Service has addresses of an IP family in which none of its ready pods has one: whoever calls it by that family is refused. It is critical where the Service has no other family. " +
			"Pods were made before the cluster became dual-stack, or the network plugin gives them one family only. Left alone: Services without ready pods, and families of which at least one pod has an address.",
		KO: "Service에 할당된 IP family의 주소를 가진 Ready Pod가 하나도 없어, 그 family로 호출하면 거부됩니다. Service에 다른 family가 없으면 critical입니다. " +
			"클러스터가 dual-stack이 되기 전에 만든 Pod이거나 네트워크 플러그인이 한 family만 할당하는 경우입니다. Ready Pod가 없는 Service와, 해당 family의 주소를 가진 Pod가 하나라도 있는 경우는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/dual-stack/#services",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    []rule.Need{rule.Any[*corev1.Service](), rule.Whole[*corev1.Pod](), rule.Optional[*discoveryv1.EndpointSlice](), rule.Optional[*corev1.Namespace]()},
	For:      3 * time.Minute,
	Detect:   serviceIPFamilyUnserved,
})

func serviceIPFamilyUnserved(p *rule.Pass) {
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		if !selects(p, svc) {
			continue
		}
		missing, sample := unservedFamilies(p.Snapshot, svc)
		if len(missing) == 0 {
			continue
		}
		subject := snapshot.SubjectOf(svc)
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.ipFamilies", Since: snapshot.SpecWritten(svc),
			Title: finding.Textf("%s: no pod behind it has an %s address", "%s: %s 주소를 가진 Pod가 없습니다", finding.Named(subject), missing[0]),
			Why: finding.Textf("the Service has an address of %s, and its ready pods have none (%s)", "Service에는 %s 주소가 있으나 Ready Pod에는 없습니다(%s)",
				missing[0], podNames([]*corev1.Pod{sample})),
			Evidence: []finding.Evidence{
				{Source: finding.Named(subject), Path: ".spec.ipFamilies", Value: families(svc.Spec.IPFamilies)},
				{Source: finding.Named(snapshot.SubjectOf(sample)), Path: ".status.podIPs", Value: addressesOf(sample)},
			},
			RuledOut: []finding.Statement{{Text: finding.Text{EN: "pods that are not ready", KO: "Pod가 Ready가 아닌 경우"}, Evidence: []finding.Evidence{readiness(sample)}}},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{
						Text:    finding.Text{EN: "let the Service have the families that its pods have", KO: "Service의 IP family를 Pod에 맞춥니다"},
						Command: "kubectl -n " + svc.Namespace + " edit service " + svc.Name,
					},
					{Text: finding.Text{
						EN: "or, where the network plugin gives both families by now, make the pods anew",
						KO: "또는 네트워크 플러그인이 두 family를 모두 할당한다면 Pod를 다시 만듭니다",
					}},
				},
			},
		}
		if len(missing) == len(svc.Spec.IPFamilies) {
			f.Severity = finding.Critical
		}
		p.Report(f)
	}
}

// unservedFamilies are the families of a Service in which none of its ready pods has an address, with
// one of those pods.
func unservedFamilies(s *snapshot.Snapshot, svc *corev1.Service) (missing []corev1.IPFamily, sample *corev1.Pod) {
	if len(svc.Spec.IPFamilies) == 0 {
		return nil, nil
	}
	missing = slices.Clone(svc.Spec.IPFamilies)
	// Most are served by what their EndpointSlices list, and need no look at their pods.
	for _, slice := range s.EndpointSlicesOf(svc) {
		if len(slice.Endpoints) > 0 {
			missing = slices.DeleteFunc(missing, func(f corev1.IPFamily) bool { return string(f) == string(slice.AddressType) })
		}
	}
	if len(missing) == 0 {
		return nil, nil
	}
	for _, pod := range s.PodsSelected(svc.Namespace, svc.Spec.Selector) {
		if !snapshot.PodReady(pod) || len(podPeer(pod).addresses) == 0 {
			continue
		}
		sample = pod
		for _, a := range podPeer(pod).addresses {
			missing = slices.DeleteFunc(missing, func(f corev1.IPFamily) bool { return f == familyOf(a) })
		}
		if len(missing) == 0 {
			return nil, nil
		}
	}
	if sample == nil {
		return nil, nil
	}
	return missing, sample
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Unmap().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func families(in []corev1.IPFamily) string {
	out := ""
	for _, f := range in {
		if out != "" {
			out += ","
		}
		out += string(f)
	}
	return out
}

func addressesOf(pod *corev1.Pod) string {
	out := ""
	for _, a := range podPeer(pod).addresses {
		if out != "" {
			out += ","
		}
		out += a.String()
	}
	return out
}

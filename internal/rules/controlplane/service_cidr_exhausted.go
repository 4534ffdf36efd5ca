package controlplane

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceCIDRExhausted",
	Title: finding.Text{EN: "no address is left for Services", KO: "Service에 할당할 주소가 남아 있지 않습니다"},
	Doc: finding.Text{
		EN: "All addresses of the ranges from which Services get their cluster IPs are taken: no Service with a cluster IP can be made in any namespace (failed to allocate a serviceIP … range is full). Services that are there work. It is a " +
			"warning when nothing is left in any range of the family, and info from nine tenths on. Headless Services take no address. A cluster without ServiceCIDR objects (before 1.33) is not judged.",
		KO: "Service의 cluster IP를 할당하는 범위의 주소를 모두 사용했습니다. 어느 namespace에서도 cluster IP가 있는 Service를 만들 수 없습니다(failed to allocate a serviceIP … range is full). 기존 Service는 동작합니다. 같은 IP 종류의 모든 범위에 남은 주소가 " +
			"없으면 warning, 90%부터 info입니다. headless Service는 주소를 사용하지 않습니다. ServiceCIDR 객체가 없는 클러스터(1.33 이전)는 판단하지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Whole[*networkingv1.ServiceCIDR](), rule.Whole[*corev1.Service]()},
	Detect:   detectServiceCIDRExhausted,
})

// scarce is the part of the addresses, in percent, from which it is told that they run out.
const scarce = 90

// addressRange is what a ServiceCIDR gives out.
type addressRange struct {
	cidr   *networkingv1.ServiceCIDR
	prefix netip.Prefix
}

func detectServiceCIDRExhausted(p *rule.Pass) {
	families := map[bool][]addressRange{}
	for _, c := range snapshot.List[*networkingv1.ServiceCIDR](p.Snapshot) {
		for _, s := range c.Spec.CIDRs {
			if prefix, err := netip.ParsePrefix(s); err == nil && c.DeletionTimestamp == nil {
				families[prefix.Addr().Is4()] = append(families[prefix.Addr().Is4()], addressRange{c, prefix})
			}
		}
	}
	taken := map[netip.Addr]bool{}
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		for _, s := range svc.Spec.ClusterIPs {
			if ip, err := netip.ParseAddr(s); err == nil {
				taken[ip] = true
			}
		}
	}
	for _, is4 := range []bool{true, false} {
		if f, ok := rangeFinding(families[is4], taken); ok {
			p.Report(f)
			return // Both families may be of one object, about which one thing is said.
		}
	}
}

func rangeFinding(ranges []addressRange, taken map[netip.Addr]bool) (finding.Finding, bool) {
	size, used := 0.0, 0
	var evidence []finding.Evidence
	var names []string
	for _, r := range ranges {
		n := 0
		for ip := range taken {
			if r.prefix.Contains(ip) {
				n++
			}
		}
		used += n
		size += sizeOf(r.prefix)
		names = append(names, r.prefix.String())
		evidence = append(evidence, finding.Evidence{
			Source: "ServiceCIDR " + r.cidr.Name, Path: ".spec.cidrs", Value: fmt.Sprintf("%s: %d of %.0f addresses taken", r.prefix, n, sizeOf(r.prefix)),
		})
	}
	if size == 0 || float64(used) < size*scarce/100 {
		return finding.Finding{}, false
	}
	list := finding.Verbatim(strings.Join(names, ", "))
	f := finding.Finding{
		Subject: snapshot.SubjectOf(ranges[0].cidr), Mechanism: v1alpha1.MechanismExhausted, Field: ".spec.cidrs", Evidence: evidence,
		Title: finding.Format("no address is left for new Services in %s", "새 Service에 할당할 주소가 없습니다: %s", list),
		Why: finding.Textf("%d of %.0f addresses are taken. No Service with a cluster IP can be made in any namespace; those that are there work.",
			"주소 %.0[2]f개 중 %[1]d개를 사용하고 있습니다. 어느 namespace에서도 cluster IP가 있는 Service를 만들 수 없으며 기존 Service는 동작합니다.", used, size),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "who has most of them", KO: "어느 namespace가 많이 쓰는지 확인합니다"},
					Command: "kubectl get services -A --no-headers | awk '$4 != \"None\" {print $1}' | sort | uniq -c | sort -rn | head",
				},
				{Text: finding.Text{
					EN: "delete Services that nobody needs, or add a ServiceCIDR object with a further range that no pod, node or other network uses",
					KO: "필요 없는 Service를 삭제하거나, Pod, 노드, 다른 네트워크가 쓰지 않는 범위로 ServiceCIDR 객체를 추가합니다",
				}},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "limit Services with ResourceQuotas, and make those headless that need no address of their own",
				KO: "ResourceQuota로 Service 수를 제한하고 주소가 필요 없는 Service는 headless로 만듭니다",
			}}},
		},
	}
	if float64(used) < size {
		f.Severity = finding.Info
		f.Title = finding.Format("addresses for Services run out in %s", "Service에 할당할 주소가 얼마 남지 않았습니다: %s", list)
		f.Why = finding.Textf("%d of %.0f addresses are taken. When none is left no Service with a cluster IP can be made.", "주소 %.0[2]f개 중 %[1]d개를 사용하고 있습니다. 모두 사용하면 cluster IP가 있는 Service를 만들 수 없습니다.", used, size)
	}
	return f, true
}

// sizeOf is how many addresses of a range Services get: all but the first and, of IPv4, the last
// (k8s.io/kubernetes/pkg/registry/core/service/ipallocator/ipallocator.go, NewIPAllocator).
func sizeOf(prefix netip.Prefix) float64 {
	n := math.Exp2(float64(prefix.Addr().BitLen() - prefix.Bits()))
	if prefix.Addr().Is4() {
		return max(0, n-2)
	}
	return max(0, n-1)
}

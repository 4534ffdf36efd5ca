package network

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceAddressesExhausted",
	Title: finding.Text{EN: "addresses for Services are used up", KO: "Service에 할당할 주소가 소진되었습니다"},
	Doc: finding.Text{
		EN: "The ranges from which Services get their addresses (ServiceCIDRs) have none left, so no Service with an address can be made: the API server answers \"range is full\" to whoever tries. " +
			"Services that exist go on. From nine tenths it is a remark. ClusterIPs are counted against the ranges; a cluster that does not serve ServiceCIDRs (before 1.33) is not judged.",
		KO: "Service에 주소를 할당하는 범위(ServiceCIDR)에 남은 주소가 없어 주소를 가진 Service를 더 만들 수 없습니다. 생성을 시도하면 API 서버가 \"range is full\"이라고 응답합니다. 기존 Service는 계속 동작합니다. " +
			"90% 이상이면 참고로 알립니다. ClusterIP 수를 범위와 비교하며, ServiceCIDR이 없는 클러스터(1.33 미만)는 판단하지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Service](), rule.Optional[*networkingv1.ServiceCIDR]()},
	Detect:   serviceAddressesExhausted,
})

// nearlyFull is the share of the addresses in use, in percent, from which their end is worth knowing.
const nearlyFull = 90

// addressRange is the addresses of one family that Services can get.
type addressRange struct {
	family   corev1.IPFamily
	subject  finding.Subject
	prefixes []netip.Prefix
	names    []string
	// size is how many there are, counted up to a bound that no cluster reaches.
	size uint64
	// latest is when an address was last given.
	latest time.Time
	used   uint64
}

func serviceAddressesExhausted(p *rule.Pass) {
	ranges := []*addressRange{{family: corev1.IPv4Protocol}, {family: corev1.IPv6Protocol}}
	for _, cidr := range snapshot.List[*networkingv1.ServiceCIDR](p.Snapshot) {
		if cidr.DeletionTimestamp != nil || !cidrReady(cidr) {
			continue // Nothing is given out of it (k8s.io/kubernetes/pkg/registry/core/service/ipallocator, MetaAllocator).
		}
		for _, written := range cidr.Spec.CIDRs {
			prefix, err := netip.ParsePrefix(written)
			if err != nil {
				continue
			}
			for _, r := range ranges {
				if r.family == familyOf(prefix.Addr()) {
					r.add(cidr, prefix)
				}
			}
		}
	}
	for _, r := range ranges {
		if r.size == 0 {
			continue
		}
		r.count(p)
		if r.used*100 >= r.size*nearlyFull {
			p.Report(r.finding(p))
		}
	}
}

func cidrReady(cidr *networkingv1.ServiceCIDR) bool {
	for _, c := range cidr.Status.Conditions {
		if c.Type == networkingv1.ServiceCIDRConditionReady {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// add takes in a range unless it lies within one that is there.
func (r *addressRange) add(cidr *networkingv1.ServiceCIDR, prefix netip.Prefix) {
	for _, other := range r.prefixes {
		if other.Bits() <= prefix.Bits() && other.Contains(prefix.Addr()) {
			return
		}
	}
	if r.subject.Name == "" {
		r.subject = snapshot.SubjectOf(cidr)
	}
	r.prefixes, r.names = append(r.prefixes, prefix), append(r.names, cidr.Name+" "+prefix.String())
	const bound = 32 // IPv6 ranges are larger than any cluster, and would not fit a number.
	size := uint64(1) << min(bound, prefix.Addr().BitLen()-prefix.Bits())
	// The network's own address is not given, nor IPv4's broadcast address (ipallocator, hostsPerNetwork).
	if prefix.Addr().Is4() {
		size = max(size, 2) - 2
	} else {
		size--
	}
	r.size += size
}

func (r *addressRange) count(p *rule.Pass) {
	for _, svc := range snapshot.List[*corev1.Service](p.Snapshot) {
		for _, a := range parseAddresses(svc.Spec.ClusterIPs...) {
			for _, prefix := range r.prefixes {
				if prefix.Contains(a) {
					r.used++
					r.latest = finding.Later(r.latest, svc.CreationTimestamp.Time)
					break
				}
			}
		}
	}
}

func (r *addressRange) finding(p *rule.Pass) finding.Finding {
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismExhausted, Field: ".spec.cidrs",
		Title: finding.Textf("%s: %d of %d %s addresses for Services are used", "%s: Service용 %[4]s 주소 %[3]d개 중 %[2]d개를 사용하고 있습니다", finding.Named(r.subject), r.used, r.size, r.family),
		Why:   finding.Textf("when they are used up, no Service with an address can be made; left: %d", "주소가 소진되면 주소를 가진 Service를 만들 수 없습니다. 남은 주소: %d개", r.size-min(r.size, r.used)),
		Evidence: []finding.Evidence{
			{Source: "ServiceCIDRs", Path: ".spec.cidrs", Value: fmt.Sprintf("%s (%d addresses)", strings.Join(r.names, ", "), r.size)},
			{Source: "Services", Path: ".spec.clusterIPs", Value: fmt.Sprintf("%d within them", r.used)},
		},
		Severity: finding.Info,
		Remedies: finding.Remedies{Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "add a range that nothing else uses: put its CIDR in the place of CIDR", KO: "다른 곳에서 쓰지 않는 범위를 추가합니다. CIDR 자리에 범위를 넣습니다"},
				Command: `echo '{"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"more"},"spec":{"cidrs":["CIDR"]}}' | kubectl create -f -`,
			},
			{
				Text:    finding.Text{EN: "see which Services are no longer needed", KO: "더 이상 필요 없는 Service를 확인합니다"},
				Command: "kubectl get services -A --sort-by=.metadata.creationTimestamp",
			},
		}},
	}
	if r.used >= r.size {
		f.Severity, f.Since = finding.Warning, r.latest
		f.Title = finding.Textf("%s: all %d %s addresses for Services are used, none can be made", "%s: Service용 %[3]s 주소 %[2]d개가 모두 사용되어 Service를 더 만들 수 없습니다", finding.Named(r.subject), r.size, r.family)
		f.Why = finding.Textf("the API server refuses a new Service with \"range is full\"; the last address was given at %s", "API 서버가 새 Service를 \"range is full\"로 거부합니다. 마지막 주소는 %s에 할당되었습니다", finding.Clock(p.Now(), r.latest))
	}
	return f
}

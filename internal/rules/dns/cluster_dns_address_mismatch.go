package dns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
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
	Code:  "ClusterDNSAddressMismatch",
	Title: finding.Text{EN: "pods ask for names at an address that no Service has", KO: "Pod가 어느 Service에도 없는 주소로 이름을 질의합니다"},
	Doc: finding.Text{
		EN: "Pods look up names at an address in the range of Services that no Service has, so no answer comes though cluster DNS is well: its Service was made anew and got another address, or the kubelet's " +
			"clusterDNS is wrong. A pod keeps the address with which it was made. The log of a pod in trouble tells the address; the kubelet's configuration is asked then, and also where the Service's address is not " +
			"the tenth of its range, which installers give it. Left alone: addresses outside the range of Services, such as those of a cache on the node.",
		KO: "Pod가 Service 주소 범위에 있지만 어느 Service에도 없는 주소로 이름을 질의하여, 클러스터 DNS가 정상인데도 응답이 오지 않습니다. DNS Service를 다시 만들어 주소가 바뀌었거나 kubelet의 clusterDNS가 잘못된 경우입니다. " +
			"Pod는 생성 당시의 주소를 계속 사용합니다. 문제가 생긴 Pod의 로그에서 주소를 확인하며, 그때와 DNS Service의 주소가 설치 도구가 주는 범위의 10번째 주소가 아닐 때 kubelet 설정을 확인합니다. 노드의 DNS 캐시처럼 Service 범위 밖의 주소는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
	Severity: finding.Critical,
	Needs: slices.Concat([]rule.Need{
		rule.Whole[*corev1.Service](), rule.Any[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*networkingv1.ServiceCIDR](),
	}, rule.Owners()),
	For:    time.Minute,
	Detect: clusterDNSAddressMismatch,
})

func clusterDNSAddressMismatch(p *rule.Pass) {
	svc, own, taken := dnsAddress(p.Snapshot)
	if svc == nil {
		return
	}
	nobodys := func(a netip.Addr) bool { return a.IsValid() && !taken[a] && inServiceRange(p.Snapshot, a) }
	failures := slices.DeleteFunc(nameFailures(p), func(f nameFailure) bool { return !nobodys(f.server) })
	node := ""
	switch {
	case len(failures) > 0:
		node = failures[0].pod.Spec.NodeName
	case !tenth(p.Snapshot, own):
		nodes := snapshot.List[*corev1.Node](p.Snapshot)
		if i := slices.IndexFunc(nodes, nodeReady); i >= 0 {
			node = nodes[i].Name
		}
	}
	if node == "" {
		return
	}
	if given := givenByKubelet(p, node); nobodys(given) {
		p.Report(addressMismatch(p, svc, own, given, node, failures))
	} else if len(failures) > 0 {
		p.Report(addressMismatch(p, svc, own, failures[0].server, "", failures))
	}
}

// dnsAddress returns the Service of cluster DNS with its address, and all addresses that Services have;
// nil where there is no such Service, or it has no address.
func dnsAddress(s *snapshot.Snapshot) (svc *corev1.Service, own netip.Addr, taken map[netip.Addr]bool) {
	taken = map[netip.Addr]bool{}
	for _, other := range snapshot.List[*corev1.Service](s) {
		for _, written := range append([]string{other.Spec.ClusterIP}, other.Spec.ClusterIPs...) {
			a, err := netip.ParseAddr(written)
			if err != nil {
				continue
			}
			taken[a] = true
			if svc == nil && other.Namespace == metav1.NamespaceSystem && other.Labels[dnsLabel] == dnsValue {
				svc, own = other, a
			}
		}
	}
	return svc, own, taken
}

// givenByKubelet asks for the address of cluster DNS that the kubelet of a node gives to pods.
func givenByKubelet(p *rule.Pass, node string) netip.Addr {
	answer, _ := p.Ask(snapshot.Question{Kind: snapshot.KubeletConfig, Name: node})
	var config struct {
		ClusterDNS []string `json:"clusterDNS"`
	}
	if answer.Outcome != snapshot.Answered || json.Unmarshal([]byte(answer.Text), &config) != nil || len(config.ClusterDNS) == 0 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(config.ClusterDNS[0])
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// addressMismatch is the finding that pods ask at a wrong address; node is that whose kubelet gives it,
// where one said so.
func addressMismatch(p *rule.Pass, svc *corev1.Service, own, wrong netip.Addr, node string, failures []nameFailure) finding.Finding {
	subject := snapshot.SubjectOf(svc)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Field: ".spec.clusterIP", Since: svc.CreationTimestamp.Time,
		Explains: sufferers(p.Snapshot, failures),
		Title:    finding.Textf("%s: has the address %s, and pods ask for names at %s, which no Service has", "%s: 주소는 %s이나 Pod는 어느 Service에도 없는 %s 주소로 이름을 질의합니다", finding.Named(subject), own, wrong),
		Why:      finding.Textf("the Service was made at %s; pods keep the address that the kubelet gave them when they were made", "Service는 %s에 만들어졌으며, Pod는 생성될 때 kubelet이 준 주소를 계속 사용합니다", finding.Clock(p.Now(), svc.CreationTimestamp.Time)),
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".spec.clusterIP", Value: own.String(), At: finding.Timestamp(svc.CreationTimestamp.Time)}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Textf("make the Service again with the address %s", "Service를 %s 주소로 다시 만듭니다", wrong),
				Command: fmt.Sprintf(`kubectl -n %s get service %s -o json | sed 's/"%s"/"%s"/g' | kubectl replace --force -f -`, svc.Namespace, svc.Name, own, wrong),
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "never delete the Service of cluster DNS to change it; keep its clusterIP in the manifest",
				KO: "클러스터 DNS Service를 변경할 때 삭제하지 말고, manifest에 clusterIP를 명시합니다",
			}}},
		},
	}
	if node != "" {
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "configuration of the kubelet on " + node, Path: ".clusterDNS", Value: wrong.String()})
		f.Why = finding.Join("; ", finding.Textf("the kubelet on %s gives pods %s", "%s의 kubelet이 Pod에 주는 주소는 %s입니다", node, wrong), f.Why)
	}
	f.Evidence = append(f.Evidence, evidence(failures)...)
	return f
}

func nodeReady(n *corev1.Node) bool {
	c := snapshot.NodeCondition(n, corev1.NodeReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// serviceRanges are the ranges from which Services get addresses.
func serviceRanges(s *snapshot.Snapshot) []netip.Prefix {
	var out []netip.Prefix
	for _, cidr := range snapshot.List[*networkingv1.ServiceCIDR](s) {
		for _, written := range cidr.Spec.CIDRs {
			if prefix, err := netip.ParsePrefix(written); err == nil {
				out = append(out, prefix)
			}
		}
	}
	return out
}

// inServiceRange tells whether an address is one that a Service could have. Without ServiceCIDRs, which
// clusters serve since 1.33, nothing is said.
func inServiceRange(s *snapshot.Snapshot, a netip.Addr) bool {
	return slices.ContainsFunc(serviceRanges(s), func(p netip.Prefix) bool { return p.Contains(a) })
}

// tenth tells whether an address is the tenth of a range, as installers give it to cluster DNS
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, GetDNSIP), or whether that cannot be told.
func tenth(s *snapshot.Snapshot, a netip.Addr) bool {
	ranges := serviceRanges(s)
	return len(ranges) == 0 || slices.ContainsFunc(ranges, func(p netip.Prefix) bool {
		at := p.Masked().Addr()
		for range 10 {
			at = at.Next()
		}
		return at == a
	})
}

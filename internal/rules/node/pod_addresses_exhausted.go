package node

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "PodAddressesExhausted",
	Title: finding.Text{
		EN: "no pod address is left on the node",
		KO: "노드에 남은 Pod 주소가 없습니다",
	},
	Doc: finding.Text{
		EN: "Pods on a node get no address: the network plugin says that the node's range, or the subnet, is used up. Either more pods run than the range holds, or addresses of pods that are long gone were " +
			"never given back, as after crashes of the runtime: the number of pods against the size of the range tells which. The pod must be without an address now and the words be in its newest " +
			"event of a sandbox that failed; one that got its address since, and other network failures, are left alone.",
		KO: "노드의 Pod가 주소를 받지 못합니다. 네트워크 플러그인이 노드의 주소 범위나 subnet을 다 썼다고 알립니다. 범위보다 많은 Pod가 실행 중이거나, 런타임이 비정상 종료된 뒤처럼 없어진 Pod의 주소가 반납되지 않은 것이며, Pod 수와 범위의 크기를 비교하면 구분됩니다. " +
			"지금 주소가 없고 sandbox 생성 실패에 대한 최신 이벤트에 그 내용이 있어야 합니다. 그 뒤 주소를 받은 Pod와 다른 네트워크 오류는 대상이 아닙니다.",
	},
	Link:     "https://www.cni.dev/plugins/current/ipam/host-local/",
	Severity: finding.Warning,
	Needs:    append([]rule.Need{rule.Any[*corev1.Pod](), rule.Any[*corev1.Event](), rule.Optional[*corev1.Node]()}, rule.Owners()...),
	For:      time.Minute,
	Causes:   []rule.Cause{{Code: "PodAddressesLeaked", Via: rule.OnMachine}},
	Detect:   detectPodAddressesExhausted,
})

// noAddress are the words of network plugins that have no address to give: host-local's
// (github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator), Cilium's
// (pkg/ipam), Calico's (libcalico-go/lib/ipam) and the AWS VPC plugin's.
var noAddress = []string{
	"no IP addresses available in range set", "No more IPs available", "no more IPs available", "IP exhaustion", "No more free affine blocks", "no free addresses",
	"failed to assign an IP address to container",
}

func detectPodAddressesExhausted(p *rule.Pass) {
	starved := map[string][]*corev1.Pod{}
	said := map[string]*corev1.Event{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Spec.NodeName == "" || pod.Status.PodIP != "" || pod.Spec.HostNetwork || snapshot.PodDone(pod) || pod.DeletionTimestamp != nil {
			continue
		}
		for _, e := range p.PodEvents(pod) {
			if e.Reason != "FailedCreatePodSandBox" {
				continue
			}
			for _, words := range noAddress {
				if strings.Contains(e.Message, words) {
					starved[pod.Spec.NodeName] = append(starved[pod.Spec.NodeName], pod)
					if said[pod.Spec.NodeName] == nil {
						said[pod.Spec.NodeName] = e
					}
					break
				}
			}
			break
		}
	}
	for _, node := range sortedKeys(starved) {
		p.Report(addressesExhausted(p, node, starved[node], said[node]))
	}
}

func addressesExhausted(p *rule.Pass, node string, pods []*corev1.Pod, e *corev1.Event) finding.Finding {
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismExhausted, Field: ".spec.podCIDR",
		Title: finding.Format("node %s: no pod address is left; waiting for one: %s", "노드 %s: 남은 Pod 주소가 없어 %s가 기다리고 있습니다", finding.Verbatim(node), finding.Pods(len(pods))),
		Evidence: []finding.Evidence{{
			Source: fmt.Sprintf("Event Pod %s/%s", e.InvolvedObject.Namespace, e.InvolvedObject.Name), Path: e.Reason + ".message",
			Value: finding.Quote(e.Message), At: finding.Timestamp(snapshot.EventTime(e)),
		}},
		RuledOut: []finding.Statement{{Text: finding.Text{EN: "the plugin itself: it runs, and says what it lacks", KO: "플러그인 자체: 실행 중이며 무엇이 부족한지 알리고 있습니다"}}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "addresses that the plugin holds, against pods that run: many more of the former were never given back", KO: "플러그인이 잡고 있는 주소 수와 실행 중인 Pod 수를 비교합니다. 주소가 훨씬 많으면 반납되지 않은 것입니다"},
				Command: "ls /var/lib/cni/networks/*/ | grep -c '^[0-9a-f.:]*$'; crictl pods --state ready -q | wc -l", Machine: node,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep maxPods below the number of addresses in a node's range, or give nodes wider ranges (--node-cidr-mask-size)",
				KO: "maxPods를 노드 주소 범위의 주소 수보다 작게 두거나 노드에 더 넓은 범위를 할당합니다(--node-cidr-mask-size)",
			}}},
		},
	}
	owners := map[finding.Subject]bool{}
	for _, pod := range pods {
		if c := snapshot.PodCondition(pod, corev1.PodScheduled); c != nil && (f.Since.IsZero() || c.LastTransitionTime.Time.Before(f.Since)) {
			f.Since = c.LastTransitionTime.Time
		}
		f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
		if w := p.Workload(pod); w.Kind != "Pod" && !owners[w] {
			owners[w] = true
			f.Explains = append(f.Explains, w)
		}
	}
	held := 0
	for _, pod := range p.PodsOn(node) {
		if pod.Status.PodIP != "" && !pod.Spec.HostNetwork && !snapshot.PodDone(pod) {
			held++
		}
	}
	f.Why = finding.Format("The network plugin says: %s.", "네트워크 플러그인의 메시지: %s.", finding.Verbatim(reasonOfSandbox(e.Message)))
	if n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", node); ok {
		if size := addresses(n.Spec.PodCIDR); size > 0 {
			f.Evidence = append(f.Evidence, finding.Evidence{Source: "Node " + node, Path: ".spec.podCIDR", Value: fmt.Sprintf("%s (%d addresses), %d pods have one", n.Spec.PodCIDR, size, held)})
			verdict := finding.Text{EN: "the range is too small for the pods that run there", KO: "실행 중인 Pod에 비해 범위가 작습니다"}
			if 2*held < size {
				verdict = finding.Text{EN: "most are held for pods that are gone", KO: "대부분 없어진 Pod가 잡고 있는 주소입니다"}
			}
			f.Why = finding.Join(" ", f.Why, finding.Format("Its range %s has %s addresses, and %s pods have one: %s.", "범위 %s에는 주소가 %s개 있고 주소를 가진 Pod는 %s개입니다. %s.",
				finding.Verbatim(n.Spec.PodCIDR), finding.Textf("%d", "%d", size), finding.Textf("%d", "%d", held), verdict))
		}
	}
	return f
}

// addresses is how many pods a range of IPv4 addresses holds, without its own, the broadcast's and the
// bridge's; 0 where it cannot run out.
func addresses(cidr string) int {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil || !prefix.Addr().Is4() || prefix.Bits() > 29 || prefix.Bits() < 8 {
		return 0
	}
	return 1<<(32-prefix.Bits()) - 3
}

// reasonOfSandbox is the end of a message about a sandbox, where the plugin's own words are.
func reasonOfSandbox(message string) string {
	for _, words := range noAddress {
		if i := strings.Index(message, words); i >= 0 {
			return strings.TrimSuffix(finding.Quote(message[i:]), ".")
		}
	}
	return finding.Quote(message)
}

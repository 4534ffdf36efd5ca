package node

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeClockSkewed",
	Title: finding.Text{
		EN: "clock differs from the API server's",
		KO: "시계가 API server와 다릅니다",
	},
	Doc: finding.Text{
		EN: "A kubelet writes the time of its own clock into its Lease, and the API server notes by its clock when that arrives: the difference is how far the node's clock is off. From 30 s on it is noted; " +
			"from five minutes on it is a warning, for certificates and tokens that were just issued count as not yet valid, conditions and logs carry wrong times, and time-based software " +
			"fails. Where most nodes differ alike, it is the API server's own clock. Leases that are not renewed say nothing about a clock and are left alone.",
		KO: "kubelet은 자신의 시계로 Lease에 시각을 쓰고 API server는 자신의 시계로 도착 시각을 기록하므로 그 차이가 노드 시계의 오차입니다. 30초부터는 참고로 표시하고 5분부터는 경고합니다. 방금 발급된 인증서와 token이 아직 유효하지 않은 것으로 처리되고, " +
			"condition과 로그의 시각이 틀리며, 시각에 의존하는 소프트웨어가 실패합니다. 대부분의 노드가 같은 방향으로 다르면 API server의 시계가 틀린 것입니다. 갱신되지 않는 Lease로는 시계를 알 수 없으므로 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/troubleshooting-kubeadm/",
	Severity: finding.Info, Gravest: finding.Warning,
	Needs:  []rule.Need{rule.Any[*corev1.Node](), rule.Any[*coordinationv1.Lease]()},
	Causes: []rule.Cause{{Code: "ClockUnsynchronized", Via: rule.OnMachine}},
	Detect: detectNodeClockSkewed,
})

const (
	// notedSkew is beyond what a slow request explains.
	notedSkew = 30 * time.Second
	// harmfulSkew is by how much the issuers of Kubernetes antedate certificates
	// (k8s.io/kubernetes/pkg/controller/certificates/signer/signer.go, backdate of 5 minutes).
	harmfulSkew = 5 * time.Minute
)

// skew is how far ahead of the API server's a node's clock is.
type skew struct {
	node    string
	by      time.Duration
	renewed time.Time
	noted   time.Time
}

func detectNodeClockSkewed(p *rule.Pass) {
	var skews []skew
	measured := 0
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		lease, ok := snapshot.Get[*coordinationv1.Lease](p.Snapshot, corev1.NamespaceNodeLease, n.Name)
		if !ok || lease.Spec.RenewTime == nil || p.Writer(snapshot.KubeletOn(n.Name)).State != snapshot.Alive {
			continue
		}
		_, noted := snapshot.LastManager(lease)
		if noted.IsZero() {
			continue
		}
		measured++
		if by := lease.Spec.RenewTime.Sub(noted); by.Abs() >= notedSkew {
			skews = append(skews, skew{n.Name, by, lease.Spec.RenewTime.Time, noted})
		}
	}
	if len(skews) > 2 && 3*len(skews) >= 2*measured && sameWay(skews) {
		p.Report(serverSkewed(skews, measured))
		return
	}
	for _, s := range skews {
		p.Report(nodeSkewed(s))
	}
}

// skewText is a difference of clocks in words.
func skewText(d time.Duration) string { return d.Abs().Round(time.Second).String() }

// sameWay tells whether all clocks differ by about as much: then it is the one that they are compared
// with that is wrong.
func sameWay(skews []skew) bool {
	least := slices.MinFunc(skews, func(a, b skew) int { return int(a.by - b.by) })
	most := slices.MaxFunc(skews, func(a, b skew) int { return int(a.by - b.by) })
	return most.by-least.by < notedSkew
}

func (s skew) evidence() finding.Evidence {
	return finding.Evidence{
		Source: "Lease kube-node-lease/" + s.node, Path: ".spec.renewTime",
		Value: fmt.Sprintf("%s by the node's clock, written at %s by the API server's", s.renewed.UTC().Format(time.RFC3339), s.noted.UTC().Format(time.RFC3339)),
		At:    finding.Timestamp(s.noted),
	}
}

func (s skew) severity() finding.Severity {
	if s.by.Abs() >= harmfulSkew {
		return finding.Warning
	}
	return finding.Info
}

// direction says whether a clock is ahead or behind.
func (s skew) direction() finding.Text {
	if s.by > 0 {
		return finding.Textf("%s ahead of", "%s 빠릅니다", skewText(s.by))
	}
	return finding.Textf("%s behind", "%s 느립니다", skewText(s.by))
}

var skewHarm = finding.Text{
	EN: "Certificates and tokens may count as not yet valid or expired, and times in conditions, events and logs cannot be compared.",
	KO: "인증서와 token이 아직 유효하지 않거나 만료된 것으로 처리될 수 있고, condition·이벤트·로그의 시각을 비교할 수 없습니다.",
}

func syncClock(machine string) []finding.Remedy {
	return []finding.Remedy{
		{Text: finding.Text{EN: "is the clock synchronised, and with what", KO: "시계가 동기화되고 있는지, 기준이 무엇인지 확인합니다"}, Command: "timedatectl; chronyc tracking 2>/dev/null || timedatectl timesync-status", Machine: machine},
		{Text: finding.Text{EN: "start synchronising", KO: "시계 동기화를 시작합니다"}, Command: "timedatectl set-ntp true", Machine: machine},
	}
}

var watchClocks = []finding.Remedy{{Text: finding.Text{
	EN: "synchronise all machines, the control plane's first, with the same time servers, and watch the offset",
	KO: "control plane을 비롯한 모든 머신을 같은 시간 서버에 동기화하고 오차를 감시합니다",
}}}

func nodeSkewed(s skew) finding.Finding {
	return finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: s.node}, Severity: s.severity(), Mechanism: v1alpha1.MechanismMisconfigured,
		Title: finding.Format("node %s: its clock is %s the API server's", "노드 %s: 시계가 API server보다 %s", finding.Verbatim(s.node), s.direction()),
		Why: finding.Join(" ", finding.Text{
			EN: "Its kubelet writes that time into its Lease at the moment at which the API server takes it in.",
			KO: "kubelet이 Lease에 쓴 시각과 API server가 받은 시각의 차이입니다.",
		}, skewHarm),
		Evidence: []finding.Evidence{s.evidence()},
		Remedies: finding.Remedies{Now: syncClock(s.node), Later: watchClocks},
	}
}

func serverSkewed(skews []skew, measured int) finding.Finding {
	worst := slices.MaxFunc(skews, func(a, b skew) int { return int(a.by.Abs() - b.by.Abs()) })
	return finding.Finding{
		Subject: cluster, Severity: worst.severity(), Mechanism: v1alpha1.MechanismMisconfigured, Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Textf("the API server's clock differs from that of %d of %d nodes by %s", "API server의 시계가 노드 %[2]d개 중 %[1]d개와 %[3]s 다릅니다", len(skews), measured, skewText(worst.by)),
		Why: finding.Join(" ", finding.Text{
			EN: "These nodes agree with each other and not with it, as the renewals of their Leases tell.",
			KO: "노드들의 시계는 서로 맞지만 API server와는 다르다는 것이 Lease 갱신에서 드러납니다.",
		}, skewHarm),
		Evidence: []finding.Evidence{worst.evidence()},
		Remedies: finding.Remedies{Now: syncClock(""), Later: watchClocks},
	}
}

package controlplane

import (
	"cmp"
	"fmt"
	"slices"
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
	Code: "LeasesNotRenewed",
	Title: finding.Text{
		EN: "nobody renews a Lease",
		KO: "아무도 Lease를 갱신하지 않습니다",
	},
	Doc: finding.Text{
		EN: "Every kubelet, the controller manager and the scheduler stopped renewing their Leases together. They cannot all have died at once: what they share failed, that is " +
			"writing through the API server. Either the API server refuses or loses writes (a full etcd, a webhook that catches Leases), or it does not let these clients in (their " +
			"certificates ran out together), or it was away and has only just come back. Its own identity Lease tells whether it can write itself. One node, or all nodes without the " +
			"control plane's own Leases, is not this.",
		KO: "모든 kubelet과 controller manager, scheduler가 동시에 Lease 갱신을 멈췄습니다. 모두가 한꺼번에 죽은 것이 아니라 공통으로 쓰는 것, 즉 API server를 통한 쓰기가 실패한 것입니다. API server가 쓰기를 거부하거나 처리하지 " +
			"못하거나(가득 찬 etcd, Lease까지 검사하는 webhook), 이 클라이언트들을 받아들이지 않거나(인증서가 함께 만료), 멈췄다가 방금 돌아온 경우입니다. API server 자신의 identity Lease로 스스로 쓸 수 있는지를 구분합니다. " +
			"노드 하나, 또는 control plane의 Lease는 정상이고 노드만 모두 멈춘 경우는 해당하지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/leases/",
	Severity: finding.Critical,
	Needs:    []rule.Need{rule.Whole[*coordinationv1.Lease](), rule.Whole[*corev1.Node]()},
	For:      time.Minute,
	Causes: []rule.Cause{
		{Code: "EtcdUnavailable", Via: rule.Cluster},
		{Code: "EtcdDatabaseFull", Via: rule.Cluster},
		{Code: "EtcdDataLost", Via: rule.Cluster},
		{Code: "WebhookUnavailable", Via: rule.Cluster, Holds: stopsLeases},
		{Code: "ApiServerNotReady", Via: rule.Cluster},
	},
	Detect: detectLeasesNotRenewed,
})

const (
	// identityRenewal is how often an API server renews its own Lease
	// (k8s.io/kubernetes/pkg/controlplane/apiserver/server.go, IdentityLeaseRenewIntervalPeriod).
	identityRenewal = 10 * time.Second
	// together is how far apart the last renewals of clients can lie that were cut off at one
	// moment: the kubelets' renewal period of 10 s, and once more for a retry.
	together = 20 * time.Second
)

func detectLeasesNotRenewed(p *rule.Pass) {
	since, count, ok := cutOff(p)
	if !ok {
		return
	}
	f := finding.Finding{
		Subject:    endpoint(p.API()),
		Mechanism:  v1alpha1.MechanismFailing,
		Confidence: v1alpha1.ConfidenceMedium,
		Since:      since,
		Evidence: []finding.Evidence{{
			Source: "Leases of all nodes, the controller manager and the scheduler", Path: ".spec.renewTime",
			Value: fmt.Sprintf("%d of %[1]d not renewed since %s", count, since.UTC().Format(time.RFC3339)),
			At:    finding.Timestamp(since),
		}},
		RuledOut: []finding.Statement{{Text: finding.Textf("%d processes that died by themselves within %s of each other",
			"프로세스 %d개가 %s 안에 저마다 따로 종료된 경우", count, together)}},
		Remedies: findTheWrite,
	}
	f.Title = finding.Textf("nothing has renewed a Lease since %s: no node, no controller manager, no scheduler",
		"%s부터 모든 노드, controller manager, scheduler가 Lease를 갱신하지 못합니다", finding.Clock(p.Now(), since))
	renewed, name := ownLease(p)
	if name != "" {
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "Lease " + name, Path: ".spec.renewTime", Value: renewed.UTC().Format(time.RFC3339), At: finding.Timestamp(renewed),
		})
	}
	switch {
	case name == "":
		f.Why = finding.Textf("%d Leases stopped together: the clients cannot write through the API server, or it has only just come back.",
			"Lease %d개의 갱신이 동시에 멈췄습니다. 클라이언트가 API server를 통해 쓸 수 없거나, API server가 방금 돌아온 것입니다.", count)
	case p.Now().Sub(renewed) > identityRenewal+together:
		f.Confidence = v1alpha1.ConfidenceHigh
		f.Why = finding.Textf("%d Leases stopped together, and the API server could not renew its own (%s) since %s either: writes fail although it answers reads.",
			"Lease %d개의 갱신이 동시에 멈췄고 API server 자신의 Lease(%s)도 %s부터 갱신되지 않았습니다. 읽기에는 응답하지만 쓰기가 실패합니다.", count, name, finding.Clock(p.Now(), renewed))
	default:
		f.Mechanism = v1alpha1.MechanismRefused
		f.Why = finding.Textf("%d Leases stopped together while the API server renews its own (%s): it can write, and its clients do not get through to it (credentials, a network path that all share), or it has only just come back.",
			"Lease %d개의 갱신이 동시에 멈췄지만 API server 자신의 Lease(%s)는 갱신됩니다. API server는 쓸 수 있으나 클라이언트의 요청이 통하지 않거나(인증 정보, 모두가 쓰는 네트워크 경로), API server가 방금 돌아온 것입니다.", count, name)
	}
	f.Why = finding.Join(" ", f.Why, finding.Text{
		EN: "What the status of any object says is as old as that. Running pods go on.",
		KO: "모든 객체의 status는 그 시점의 값입니다. 실행 중인 Pod는 계속 동작합니다.",
	})
	tryWrite(p, &f)
	p.Report(f)
}

// stopsLeases tells whether the cause is known to keep Leases from being renewed.
func stopsLeases(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return slices.ContainsFunc(cause.Explains, func(s finding.Subject) bool { return s.Kind == "Lease" })
}

// tryWrite asks whether a Lease would be let in, which names a webhook or a right that stands in the
// way, or excludes them. Nothing is stored, so that a full etcd does not show.
func tryWrite(p *rule.Pass, f *finding.Finding) {
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.DryRunCreate, Namespace: metav1.NamespaceSystem, Group: coordinationv1.GroupName, Resource: "leases"})
	if !ok {
		return
	}
	seen := finding.Evidence{Source: "API server", Path: "create leases in " + metav1.NamespaceSystem + " (dry run)", Value: string(a.Outcome), At: finding.Timestamp(a.At)}
	switch a.Outcome {
	case snapshot.Rejected:
		seen.Value = finding.Quote(a.Error)
		f.Evidence = append(f.Evidence, seen)
		f.Why = finding.Join(" ", f.Why, finding.Textf("A Lease that is only tried is refused: %s.", "저장하지 않고 시도한 Lease 쓰기도 거부됩니다: %s.", finding.Quote(a.Error)))
	case snapshot.Answered:
		f.RuledOut = append(f.RuledOut, finding.Statement{
			Text:     finding.Text{EN: "webhooks and policies for new Leases: one that is only tried is let in", KO: "새 Lease를 막는 webhook과 policy: 저장하지 않고 시도한 쓰기는 통과합니다"},
			Evidence: []finding.Evidence{seen},
		})
	case snapshot.Refused, snapshot.TimedOut, snapshot.Denied, snapshot.Absent, snapshot.Errored:
		// It could not be tried.
	}
}

// findTheWrite leads from "nobody can write" to what stands in the way.
var findTheWrite = finding.Remedies{
	Now: []finding.Remedy{
		{
			Text:    finding.Text{EN: "try a write without keeping it: an error names the webhook or right that stands in the way", KO: "저장하지 않는 쓰기를 시도합니다. 막고 있는 webhook이나 권한이 오류에 나타납니다"},
			Command: "kubectl -n kube-system annotate lease kube-controller-manager write-test=1 --dry-run=server",
		},
		{Text: finding.Text{
			EN: "on a machine that runs etcd: `etcdctl alarm list` and `etcdctl endpoint status -w table`; NOSPACE means that its quota is used up",
			KO: "etcd가 있는 머신에서 `etcdctl alarm list`, `etcdctl endpoint status -w table`을 확인합니다. NOSPACE는 용량 한도에 도달했다는 뜻입니다",
		}},
		{Text: finding.Text{
			EN: "on a control-plane machine: `kubeadm certs check-expiration`",
			KO: "control plane 머신에서 `kubeadm certs check-expiration`을 확인합니다",
		}},
	},
	Later: []finding.Remedy{{Text: finding.Text{
		EN: "exclude Leases and kube-system from webhooks, and watch etcd's size against its quota",
		KO: "webhook 대상에서 Lease와 kube-system을 제외하고, etcd 크기를 한도와 비교하여 감시합니다",
	}}},
}

// cutOff tells since when nobody has renewed a Lease: the kubelet of every node, and the
// leaders of the control plane, have run out, and most of them at one time.
func cutOff(p *rule.Pass) (since time.Time, count int, ok bool) {
	writers := []snapshot.Writer{snapshot.ControllerManager, snapshot.Scheduler}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		writers = append(writers, snapshot.KubeletOn(n.Name))
	}
	var seen []time.Time
	leaders := 0
	for i, w := range writers {
		f := p.Writer(w)
		switch {
		case f.State == snapshot.Alive:
			return time.Time{}, 0, false
		case f.State == snapshot.LivenessUnknown, f.Holder == "":
			continue
		case i < 2:
			leaders++
		}
		seen = append(seen, f.LastSeen)
		if f.LastSeen.After(since) {
			since = f.LastSeen
		}
	}
	for _, t := range seen {
		if since.Sub(t) <= together {
			count++
		}
	}
	return since, count, leaders > 0 && len(seen) > leaders && 2*count > len(seen)
}

// ownLease returns the newest renewal among the API servers' own Leases.
func ownLease(p *rule.Pass) (renewed time.Time, name string) {
	for _, lease := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if lease.Labels[snapshot.APIServerLeaseLabel] != snapshot.APIServerLeaseValue {
			continue
		}
		f := p.Writer(snapshot.Writer{Namespace: lease.Namespace, Name: lease.Name})
		if f.LastSeen.After(renewed) {
			renewed, name = f.LastSeen, cmp.Or(lease.Namespace, metav1.NamespaceSystem)+"/"+lease.Name
		}
	}
	return renewed, name
}

package etcd

import (
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdUnavailable",
	Title: finding.Text{EN: "etcd does not answer the API server", KO: "etcd가 API server에 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "The API server runs and cannot reach its store: its checks etcd and etcd-readiness fail, or lists could be answered only out of its memory. etcd is stopped, has lost the majority of its members, or " +
			"cannot be reached. That the controller manager and the scheduler end, that nodes seem to go and that kube-apiserver is started again by its probe are effects. What the status of any pod says, " +
			"etcd's own too, was written before. A check that fails in a server that is only starting is left to ApiServerNotReady.",
		KO: "API server는 실행 중이지만 저장소에 연결하지 못합니다. etcd, etcd-readiness 점검이 실패하거나 목록을 메모리의 사본으로만 응답합니다. etcd가 중지되었거나 과반수의 member를 잃었거나 연결할 수 없는 상태입니다. " +
			"controller manager와 scheduler의 종료, 노드가 사라진 것처럼 보이는 것, probe가 kube-apiserver를 다시 시작하는 것은 그 결과입니다. etcd의 Pod를 포함한 모든 status는 그 이전에 기록된 값입니다. " +
			"시작 중인 API server에서만 실패하는 점검은 ApiServerNotReady에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/",
	Severity: finding.Critical,
	Needs:    []rule.Need{rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	Causes: []rule.Cause{
		{Code: "EtcdQuorumLost", Via: rule.Itself},
		{Code: "EtcdNoLeader", Via: rule.Itself},
		{Code: "EtcdAlarm", Via: rule.Itself},
		{Code: "ContainerCrashLoop", Via: rule.Cluster, Holds: isMember},
		{Code: "ContainerStartFailing", Via: rule.Cluster, Holds: isMember},
		{Code: "LivenessProbeFailing", Via: rule.Cluster, Holds: isMember},
		{Code: "ContainerOOMKilled", Via: rule.Cluster, Holds: isMember},
		// An API server that asks only the member on its own machine fails with it, though others form a
		// majority; a load balancer hands some requests to it.
		{Code: "StaticPodManifestInvalid", Via: rule.Cluster, Holds: takesMember},
		{Code: "StaticPodManifestMissing", Via: rule.Cluster, Holds: takesMember},
	},
	Detect: detectEtcdUnavailable,
})

// takesMember tells whether the cause takes a member of etcd away.
func takesMember(_ *snapshot.Snapshot, _, cause finding.Finding) bool {
	return slices.ContainsFunc(cause.Explains, func(s finding.Subject) bool { return s.Kind == "EtcdMember" })
}

// isMember tells whether the cause is about a static pod of etcd.
func isMember(s *snapshot.Snapshot, _, cause finding.Finding) bool {
	return slices.ContainsFunc(members(s), func(pod *corev1.Pod) bool { return snapshot.SubjectOf(pod) == cause.Subject })
}

// cachedKinds is how many kinds must have been answered out of the watch cache to tell of etcd: one
// alone may have been slow for its own size.
const cachedKinds = 2

func detectEtcdUnavailable(p *rule.Pass) {
	api := p.API()
	if !api.Asked || api.Failure != nil && api.Failure.Layer != snapshot.LayerReadiness && !saysEtcd(*api.Failure) {
		return
	}
	f := finding.Finding{Subject: store, Mechanism: v1alpha1.MechanismFailing, Since: lastWrite(p.Snapshot)}
	if p.Now().Sub(f.Since) < silence {
		f.Since = time.Time{} // A write of just now says nothing about when it began.
	}
	server := "API server " + api.Server
	var failed []string
	for _, c := range api.Checks {
		// The names of its checks: k8s.io/apiserver/pkg/server/options/etcd.go, addEtcdHealthEndpoint.
		if !c.OK && strings.HasPrefix(c.Name, "etcd") {
			failed = append(failed, c.Name)
			f.Evidence = append(f.Evidence, finding.Evidence{Source: server, Path: "/readyz " + c.Name, Value: finding.Quote(c.Message)})
		}
	}
	cached := fromCache(p.Snapshot)
	var how finding.Text
	switch {
	case len(failed) > 0:
		how = finding.Textf("The API server runs, and its checks %s fail.", "API server는 실행 중이지만 %s 점검이 실패합니다.", strings.Join(failed, ", "))
	case api.Failure != nil && saysEtcd(*api.Failure):
		how = finding.Textf("The API server answers %d: %s.", "API server의 응답은 %d입니다: %s.", api.Failure.Status, finding.Quote(api.Failure.Message))
		f.Evidence = append(f.Evidence, finding.Evidence{Source: server, Path: string(api.Failure.Layer), Value: finding.Quote(api.Failure.Message)})
	case len(cached) >= cachedKinds:
		f.Mechanism, f.Confidence = v1alpha1.MechanismHung, v1alpha1.ConfidenceMedium
		how = finding.Format("Reads that need etcd did not end, and were answered out of the API server's memory (%s).",
			"etcd가 필요한 읽기가 끝나지 않아 API server 메모리의 사본으로 응답했습니다(%s).", finding.List(cached))
	default:
		return
	}
	if len(cached) > 0 {
		f.Evidence = append(f.Evidence, finding.Evidence{Source: server, Path: "lists", Value: "answered from the watch cache: " + finding.List(cached).EN})
	}
	pods := members(p.Snapshot)
	f.Title = finding.Textf("etcd does not answer the API server %s", "etcd가 API server(%s)에 응답하지 않습니다", api.Server)
	f.Why = finding.Join(" ", how, finding.Text{
		EN: "It can write nothing and read only what it has in memory.",
		KO: "아무것도 쓸 수 없으며 메모리에 있는 것만 읽을 수 있습니다.",
	}, membership(pods), since(p.Now(), f.Since), finding.Text{
		EN: "Controllers and the scheduler lose their Leases through it and end; they are not the cause. Until it is back nothing can be started, stopped or changed; running pods and the Services between them go on.",
		KO: "controller와 scheduler는 그 결과로 Lease를 잃고 종료되며 원인이 아닙니다. 복구될 때까지 아무것도 시작, 중지, 변경할 수 없습니다. 실행 중인 Pod와 그 사이의 Service는 계속 동작합니다.",
	})
	f.RuledOut = []finding.Statement{{Text: finding.Text{EN: "the kube-apiserver process and the way to it: it answers", KO: "kube-apiserver 프로세스와 그 경로: 응답합니다"}}}
	f.Remedies = finding.Remedies{
		Now: slices.Concat(
			onMachines(machines(pods), finding.Text{EN: "is its container there, and what did it say last", KO: "컨테이너가 있는지, 마지막 로그가 무엇인지 확인합니다"},
				"crictl ps -a --name etcd; crictl logs --tail 20 $(crictl ps -aq --name etcd | head -n 1)"),
			onMachines(machines(pods), finding.Text{EN: "is its manifest there (put back or mended, the kubelet starts it by itself), and has its disk room", KO: "manifest가 있는지(되돌리거나 고치면 kubelet이 바로 시작합니다), 디스크 여유가 있는지 확인합니다"},
				"ls -l "+manifest+"; df -h /var/lib/etcd")),
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "run three etcd members on disks of their own, and save snapshots on a schedule",
			KO: "etcd member 3개를 전용 디스크에서 운영하고 etcd snapshot을 정기적으로 저장합니다",
		}}},
	}
	p.Report(f)
}

// saysEtcd tells whether the API server names etcd in an error of its own.
func saysEtcd(f snapshot.APIFailure) bool {
	const serverError = 500
	return f.Status >= serverError && strings.Contains(f.Message, "etcd")
}

// fromCache names the kinds that were answered out of the API server's watch cache.
func fromCache(s *snapshot.Snapshot) []string {
	var out []string
	for _, k := range s.Kinds() {
		if s.Coverage(k).FromCache {
			out = append(out, k.GroupResource())
		}
	}
	return out
}

// membership says who the members are, and how many must run.
func membership(pods []*corev1.Pod) finding.Text {
	n := len(pods)
	switch n {
	case 0:
		return finding.Text{
			EN: "No static pod of etcd is known: it runs outside of the cluster, or pods could not be read.",
			KO: "알려진 etcd static Pod가 없습니다. 클러스터 밖에서 실행되거나 Pod를 읽지 못한 것입니다.",
		}
	case 1:
		return finding.Textf("Its only member is the static pod on %s; what that pod's status says is from before.",
			"유일한 member는 %s의 static Pod이며, 그 Pod의 status는 그 이전 값입니다.", pods[0].Spec.NodeName)
	default:
		return finding.Textf("Its members are the static pods on %s, of which %d must run; what their status says is from before.",
			"member는 %[1]s의 static Pod이며 %[2]d개 이상 실행되어야 합니다. 그 Pod들의 status는 그 이전 값입니다.", strings.Join(machines(pods), ", "), quorum(n))
	}
}

func since(now, t time.Time) finding.Text {
	if t.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("The last write that is known was at %s.", "마지막으로 확인된 쓰기는 %s입니다.", finding.Clock(now, t))
}

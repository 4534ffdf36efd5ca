package node

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "ContainerRuntimeDown",
	Title: finding.Text{
		EN: "container runtime does not answer",
		KO: "컨테이너 런타임이 응답하지 않습니다",
	},
	Doc: finding.Text{
		EN: "The kubelet lives and says that the container runtime does not answer it: \"container runtime is down\" when it has not answered for 30 s, \"PLEG is not healthy\" when it " +
			"answers but cannot list its containers. Containers that run go on running; none can be started, ended or probed by exec. A node that has just joined, a kubelet that has only just " +
			"started, and a node whose kubelet is dead (KubeletStopped, NodeUnreachable) are left alone.",
		KO: "kubelet은 살아 있으며 컨테이너 런타임이 응답하지 않는다고 보고합니다. 30초 동안 응답이 없으면 \"container runtime is down\", 응답은 하지만 컨테이너 목록을 얻지 못하면 \"PLEG is not healthy\"입니다. 실행 중인 컨테이너는 " +
			"계속 실행되지만 시작, 종료, exec probe를 할 수 없습니다. 방금 참여한 노드, 방금 시작한 kubelet, kubelet이 죽은 노드(KubeletStopped, NodeUnreachable)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
	Severity: finding.Warning,
	Needs:    readyFalseNeeds(),
	For:      30 * time.Second,
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeStopped", Via: rule.OnMachine},
		{Code: "ContainerRuntimeHung", Via: rule.OnMachine},
		{Code: "ContainerRuntimeSocketMissing", Via: rule.OnMachine},
	},
	Detect: detectContainerRuntimeDown,
})

func detectContainerRuntimeDown(p *rule.Pass) {
	for _, n := range readyFalseNodes(p) {
		name, unit := n.node.Name, runtimeName(n.node)
		f := finding.Finding{
			Subject:   snapshot.SubjectOf(n.node),
			Mechanism: v1alpha1.MechanismStopped,
			Since:     n.ready.LastTransitionTime.Time,
			Evidence:  []finding.Evidence{readyEvidence(n.node, n.ready)},
			RuledOut:  kubeletLives(p.Snapshot, n.node),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see why", KO: "이유를 확인합니다"}, Command: "systemctl status " + unit + "; journalctl -u " + unit + " -n 50 --no-pager", Machine: name},
					{Text: finding.Text{EN: "restart it; running containers stay", KO: "재시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl restart " + unit, Machine: name},
				},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "give container images and logs a disk of their own and watch it: a full or slow disk is what stops runtimes most",
					KO: "컨테이너 이미지와 로그에 전용 디스크를 두고 감시합니다. 디스크가 가득 차거나 느려지는 것이 런타임이 멈추는 가장 흔한 이유입니다",
				}}},
			},
		}
		message := finding.Quote(n.ready.Message)
		switch troubleOf(n.ready.Message) {
		case runtimeSilent:
			f.Confidence = v1alpha1.ConfidenceMedium
			f.Title = finding.Textf("node %s: the container runtime (%s) does not answer", "노드 %s: 컨테이너 런타임(%s)이 응답하지 않습니다", name, unit)
			f.Why = finding.Textf("The kubelet says: %s. It is stopped or hangs: %s's own state tells which. Containers there go on running; none can be started or ended.",
				"kubelet의 보고: %s. 중지되었거나 멈춘 상태이며 %s 상태를 보면 구분할 수 있습니다. 컨테이너는 계속 실행되지만 시작하거나 종료할 수 없습니다.", message, unit)
		case runtimeHangs:
			f.Mechanism = v1alpha1.MechanismHung
			f.Confidence = v1alpha1.ConfidenceMedium
			f.Title = finding.Textf("node %s: the container runtime (%s) hangs", "노드 %s: 컨테이너 런타임(%s)이 멈췄습니다", name, unit)
			f.Why = finding.Textf("The kubelet says: %s. The runtime answers and does not list its containers in time, as under heavy load or with one container that cannot be asked. Containers there go on running; none can be started or ended.",
				"kubelet의 보고: %s. 런타임이 응답하지만 컨테이너 목록을 제때 주지 못합니다. 부하가 심하거나 조회되지 않는 컨테이너가 있을 때 이렇게 됩니다. 컨테이너는 계속 실행되지만 시작하거나 종료할 수 없습니다.", message)
			f.Remedies.Now = append([]finding.Remedy{{
				Text:    finding.Text{EN: "how long does a listing take, and is the disk busy", KO: "목록 조회에 걸리는 시간과 디스크 부하를 확인합니다"},
				Command: "time crictl pods -q | wc -l; cat /proc/pressure/io", Machine: name,
			}}, f.Remedies.Now...)
		default:
			continue
		}
		f.Why = finding.Join(" ", f.Why, carries(p.Snapshot, n.node))
		p.Report(f)
	}
}

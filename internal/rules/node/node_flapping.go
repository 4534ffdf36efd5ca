package node

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeFlapping",
	Title: finding.Text{
		EN: "node is ready and not ready by turns",
		KO: "노드의 Ready 상태가 반복해서 바뀝니다",
	},
	Doc: finding.Text{
		EN: "A node is ready now and was not several times within the last half hour, as its events tell, the last time not long ago. Each turn takes its pods out of their Services and back. Behind it are a kubelet that " +
			"restarts or is starved of cpu or disk, a runtime that hangs now and then, or a network that loses packets. A single loss, one that lies longer back, a node that rebooted once, and a node " +
			"that is not ready now (other rules say why) are left alone.",
		KO: "노드가 지금은 Ready이지만 이벤트를 보면 최근 30분 안에 여러 번 Ready가 아니었고 마지막도 얼마 되지 않았습니다. 그때마다 Pod가 Service에서 빠졌다가 돌아옵니다. 재시작하거나 cpu·디스크가 부족한 kubelet, 가끔 멈추는 런타임, 패킷을 잃는 네트워크가 원인입니다. " +
			"한 번의 단절, 오래전에 끝난 것, 한 번 재부팅한 노드, 지금 Ready가 아닌 노드(다른 규칙이 이유를 알립니다)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#node-status",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Any[*corev1.Event](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	Causes:   kubeletOnMachine(),
	Detect:   detectNodeFlapping,
})

const (
	// turnsToFlap is how often a node must have ceased to be ready.
	turnsToFlap = 3
	// flapWindow is within what time, and flapRest how long it must have been quiet to be over.
	flapWindow = 30 * time.Minute
	flapRest   = 10 * time.Minute
)

func detectNodeFlapping(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		ready := snapshot.NodeCondition(n, corev1.NodeReady)
		if ready == nil || ready.Status != corev1.ConditionTrue || leaving(n) || p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
			continue
		}
		f := finding.Finding{Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismDegraded, Confidence: v1alpha1.ConfidenceMedium}
		turns := 0
		var first, last time.Time
		restarts := 0
		for _, e := range p.EventsOf(f.Subject) {
			at, count := snapshot.EventTime(e), max(int(e.Count), 1)
			if p.Now().Sub(at) > flapWindow {
				continue
			}
			switch e.Reason {
			case "NodeNotReady":
				// The kubelet and the node lifecycle controller each tell of it, in an event of their own.
				if start := snapshot.EventStart(e); count > turns && !start.Before(p.Now().Add(-2*flapWindow)) {
					turns, first = count, start
				}
				last = finding.Later(last, at)
				f.Evidence = append(f.Evidence, eventEvidence(e))
			case "Starting":
				restarts += count
				if count > 1 {
					f.Evidence = append(f.Evidence, eventEvidence(e))
				}
			}
		}
		if turns < turnsToFlap || p.Now().Sub(last) > flapRest {
			continue
		}
		f.Since = first
		f.Evidence = append(f.Evidence[:min(3, len(f.Evidence))], readyEvidence(n, ready))
		f.Title = finding.Textf("node %s ceased to be ready %d times since %s", "노드 %[1]s: %[3]s부터 %[2]d번 Ready가 아니게 되었습니다", n.Name, turns, finding.Clock(p.Now(), first))
		why := finding.Textf("It is ready now, since %s. Each turn takes its pods out of their Services and back in.", "지금은 Ready입니다(%s부터). 그때마다 Pod가 Service에서 빠졌다가 돌아옵니다.", finding.Clock(p.Now(), ready.LastTransitionTime.Time))
		if restarts > 1 {
			why = finding.Join(" ", why, finding.Textf("Its kubelet started %d times.", "kubelet이 %d번 시작했습니다.", restarts))
		} else {
			why = finding.Join(" ", why, finding.Text{
				EN: "No restart of its kubelet is on record: a starved kubelet, a runtime that hangs, or a network that loses packets.",
				KO: "kubelet이 재시작한 기록은 없습니다. 자원이 부족한 kubelet, 멈추는 런타임, 패킷을 잃는 네트워크를 의심합니다.",
			})
		}
		f.Why = finding.Join(" ", why, carries(p.Snapshot, n))
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "what the kubelet met with", KO: "kubelet이 겪은 문제를 확인합니다"}, Command: "journalctl -u kubelet --since -1h --no-pager | grep -iE 'not ready|PLEG|timeout|failed to update lease|Starting' | tail -50", Machine: n.Name},
				{Text: finding.Text{EN: "is the machine starved", KO: "머신의 자원이 부족한지 확인합니다"}, Command: "cat /proc/pressure/cpu /proc/pressure/io /proc/pressure/memory", Machine: n.Name},
			},
			Later: []finding.Remedy{{Text: finding.Textf("reserve cpu and memory for the system on %s, so that pods cannot starve the kubelet", "%s에 시스템용 cpu와 메모리를 예약하여 Pod가 kubelet의 자원을 뺏지 못하게 합니다", n.Name)}},
		}
		p.Report(f)
	}
}

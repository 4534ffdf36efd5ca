package etcd

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdQuorumLost",
	Title: finding.Text{EN: "etcd has lost its quorum", KO: "etcd가 quorum을 잃었습니다"},
	Doc: finding.Text{
		EN: "So few members of etcd answer that they are no majority, or the only one does not: nothing can be written or read for certain, kube-apiserver fails with it, and after it whatever needs the API. Each lost member is named " +
			"with what its machine tells: a full disk, a process that ended or was stopped, a machine that is gone. It stands without an API server. Members that some machine still reaches count as running; one lost of three is " +
			"EtcdMemberDown.",
		KO: "응답하는 etcd member가 과반수에 미치지 못하거나 유일한 member가 응답하지 않습니다. 쓰기와 일관된 읽기가 불가능하여 kube-apiserver와 API에 의존하는 모든 것이 멈춥니다. 잃은 member마다 그 머신에서 확인된 이유(가득 찬 디스크, 종료되거나 " +
			"정지된 프로세스, 사라진 머신)를 알립니다. API server 없이도 판단합니다. 어느 한 머신에서라도 연결되는 member는 실행 중인 것으로 봅니다. 3개 중 하나를 잃은 경우는 EtcdMemberDown입니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/recovery/",
	Severity: finding.Critical,
	Needs:    optionalNodes,
	Machine:  machineKeys,
	For:      electionTime,
	Causes:   []rule.Cause{{Code: "MachineCertificateExpired", Via: rule.Cluster, Holds: ofEtcd}},
	Detect:   detectEtcdQuorumLost,
})

func detectEtcdQuorumLost(p *rule.Pass) {
	for _, c := range clusters(p) {
		voters, down := c.voters(), c.down()
		left := len(voters) - len(down)
		if len(voters) == 0 || left >= quorum(len(voters)) || c.agrees() {
			continue
		}
		f := finding.Finding{Subject: c.store(), Mechanism: v1alpha1.MechanismStopped, Since: c.lostSince()}
		var why []finding.Text
		var now []finding.Remedy
		for _, m := range down {
			l := c.lossOf(p, m)
			why = append(why, finding.Format("%s: %s", "%s: %s", finding.Verbatim(m.label()), l.why))
			f.Evidence = append(f.Evidence, l.evidence...)
			for _, r := range l.remedies {
				if !slices.Contains(now, r) {
					now = append(now, r)
				}
			}
			f.Explains = append(f.Explains, podsOf(p.Snapshot, m)...)
			if len(voters) == 1 {
				// Of several, no loss alone is the reason.
				f.WaitsFor = l.on
			}
		}
		f.Title = finding.Textf("etcd has lost its quorum: %d of %d members %s", "etcd가 quorum을 잃었습니다: member %[2]d개 중 %[1]d개만 응답합니다", left, len(voters), verb(left))
		if len(voters) == 1 {
			f.Title = finding.Textf("etcd does not run: its only member, on %s, does not answer", "etcd가 실행되지 않습니다: %s의 유일한 member가 응답하지 않습니다", down[0].label())
		}
		f.Why = finding.Join(". ", finding.Join(" · ", why...), finding.Text{
			EN: "Nothing can be started, stopped or changed; running pods and the Services between them go on.",
			KO: "아무것도 시작, 중지, 변경할 수 없습니다. 실행 중인 Pod와 그 사이의 Service는 계속 동작합니다.",
		})
		if on, alone := c.cutOff(down); alone {
			f.Confidence = v1alpha1.ConfidenceMedium
			f.Why = finding.Join(" ", f.Why, finding.Textf("That is what %s alone sees: if it is cut off, the others may agree among themselves.",
				"%s에서만 확인한 결과이므로, 이 머신만 단절된 경우 나머지 member는 정상일 수 있습니다.", on))
		}
		needed := quorum(len(voters)) - left
		f.Remedies = finding.Remedies{Now: now, Later: []finding.Remedy{{Text: finding.Textf(
			"quorum returns with %d more of them, for %d of %d are enough; with no more than that the next loss stops writes again",
			"%d개가 더 복구되면 quorum이 돌아옵니다(%[3]d개 중 %[2]d개). 그 상태에서 하나를 더 잃으면 다시 쓰기가 멈춥니다", needed, quorum(len(voters)), len(voters))}}}
		if len(voters) > 1 {
			f.Remedies.Later = append(f.Remedies.Later, finding.Remedy{Text: finding.Text{
				EN: "do not restore a snapshot, and do not use --force-new-cluster, while a member with good data can be brought back",
				KO: "정상 데이터가 있는 member를 복구할 수 있는 동안에는 snapshot 복원이나 --force-new-cluster를 사용하지 않습니다",
			}})
		} else {
			f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
				EN: "run three members on machines of their own, and save snapshots on a schedule", KO: "서로 다른 머신에 member 3개를 운영하고 snapshot을 정기적으로 저장합니다",
			}}}
		}
		p.Report(f)
	}
}

// cutOff tells whether one machine alone has looked, and no answer came back to it from the members that
// are down: then it may be that machine that is out.
func (c *etcdCluster) cutOff(down []etcdMember) (machine string, alone bool) {
	if len(c.from) != 1 {
		return "", false
	}
	on := c.from[0]
	return on.Node(), !slices.ContainsFunc(down, func(m etcdMember) bool { return on.Value(c.key(on, m, "answer")) != "unreachable" })
}

func verb(n int) string {
	if n == 1 {
		return "answers"
	}
	return "answer"
}

// podsOf are the static pods of a member.
func podsOf(s *snapshot.Snapshot, m etcdMember) []finding.Subject {
	var out []finding.Subject
	for _, pod := range members(s) {
		if m.node != "" && pod.Spec.NodeName == m.node {
			out = append(out, snapshot.SubjectOf(pod))
		}
	}
	return out
}

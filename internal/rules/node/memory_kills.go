package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MachineOutOfMemoryKills",
	Title: finding.Text{EN: "kernel kills processes because the machine ran out of memory", KO: "머신의 메모리가 부족하여 커널이 프로세스를 강제 종료합니다"},
	Doc: finding.Text{
		EN: "During the last quarter of an hour the kernel killed processes of pods or services that had not met a limit of their own: the machine as a whole, or a group above them, had none left. Who was killed is often not who used it up, so " +
			"those that use most are named too. A container that meets its own limit (ContainerOOMKilled), and kills that are longer ago, are left alone.",
		KO: "최근 15분 동안 자신의 limit에 이르지 않은 Pod나 서비스의 프로세스를 커널이 강제 종료했습니다. 머신 전체 또는 상위 cgroup의 메모리가 바닥난 것입니다. 종료된 쪽이 메모리를 다 쓴 쪽이 아닌 경우가 많으므로 가장 많이 쓰는 것도 함께 알려 줍니다. " +
			"자신의 limit에 걸린 컨테이너(ContainerOOMKilled)와 더 오래된 일은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#node-out-of-memory-behavior",
	Severity: finding.Warning,
	Needs:    append([]rule.Need{rule.Optional[*corev1.Pod]()}, rule.Owners()...),
	Machine: []snapshot.EvidenceKey{
		"oom/cgroup/*/recent", "oom/cgroup/*/recent-at-own-limit", "oom/cgroup/*/kills", "oom/cgroup/*/pod",
		"limit/cgroup/*/memory-bytes", "limit/cgroup/*/pod",
	},
	Causes: []rule.Cause{{Code: "MachineMemoryExhausted", Via: rule.OnMachine}},
	Detect: detectMachineOutOfMemoryKills,
})

// killsTold is for how long a kill is told: what was killed has been started anew by then, or has
// findings of its own.
const killsTold = 15 * time.Minute

func detectMachineOutOfMemoryKills(p *rule.Pass) {
	for _, m := range p.Machines() {
		f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismKilled}
		var victims []string
		var processes int64
		var last time.Time
		for _, e := range m.Select("oom/cgroup/*/recent") {
			group := e.Key.Segments()[2]
			key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("oom", "cgroup", group, word) }
			recent, _ := m.Int(e.Key)
			atOwnLimit, _ := m.Int(key("recent-at-own-limit"))
			at := m.Since(key("kills"))
			if recent <= atOwnLimit || at.IsZero() || m.ObservedAt().Sub(at) > killsTold {
				continue
			}
			processes += recent - atOwnLimit
			last = finding.Later(last, at)
			uid := m.Value(key("pod"))
			victims = append(victims, groupName(p, m, group, uid))
			f.Evidence = append(f.Evidence, m.Evidence(key("kills")))
			if pod, ok := podOf(p, m, uid); ok {
				f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
				if w := p.Workload(pod); w.Kind != "Pod" && !slices.Contains(f.Explains, w) {
					f.Explains = append(f.Explains, w)
				}
			}
		}
		if processes == 0 {
			continue
		}
		users, limitless, shown := memoryUsers(p, m)
		f.Title = finding.Format("machine %s ran out of memory: the kernel killed processes of %s", "머신 %s: 메모리가 부족하여 커널이 %s 프로세스를 강제 종료했습니다",
			finding.Verbatim(m.Node()), finding.List(victims))
		f.Why = finding.Join(" ", finding.Textf("%d of them, the last at %s, none at a memory limit of its own: it was the machine, or a group above them, that had none left.",
			"모두 %d개이고 마지막은 %s입니다. 자신의 메모리 limit에 이르지 않았으므로 머신이나 상위 cgroup의 메모리가 바닥난 것입니다.", processes, finding.Clock(m.ObservedAt(), last)), users, limitless)
		f.Evidence = append(f.Evidence, shown...)
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "what the kernel said when it killed them", KO: "강제 종료할 때의 커널 메시지를 확인합니다"}, Command: "dmesg -T | grep -iE 'out of memory|oom-kill' | tail", Machine: m.Node()},
				{Text: finding.Text{EN: "who uses most now", KO: "지금 가장 많이 쓰는 프로세스를 확인합니다"}, Command: "ps -eo pid,rss,comm --sort -rss | head -15; free -m", Machine: m.Node()},
			},
			Later: limitMemory,
		}
		p.Report(f)
	}
}

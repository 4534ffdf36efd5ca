package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProcessLimitReached",
	Title: finding.Text{EN: "no more processes can be started", KO: "프로세스를 더 만들 수 없습니다"},
	Doc: finding.Text{
		EN: "The machine, or a control group on it, has as many threads as it may have: nine tenths of the machine's process ids are taken, or the group has met its limit (pids.max; nine tenths of it for groups of many programs) or was refused a thread within the last ten minutes. " +
			"Programs say \"fork: Resource temporarily unavailable\", containers cannot be started and probes that run a command fail. Mostly one pod forks without end or leaves zombies. Refusals that are longer ago are left alone.",
		KO: "머신 또는 cgroup의 스레드 수가 한도에 이르렀습니다. 머신의 프로세스 ID를 9/10 넘게 썼거나, cgroup이 한도(pids.max, 여러 프로그램이 속한 cgroup은 그 9/10)에 이르렀거나 최근 10분 안에 스레드 생성을 거부당했습니다. 프로그램은 \"fork: Resource temporarily unavailable\"로 실패하고, " +
			"컨테이너를 시작할 수 없고, 명령을 실행하는 probe가 실패합니다. 대개 한 Pod가 끝없이 fork하거나 zombie를 남깁니다. 더 오래된 거부는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/policy/pid-limiting/",
	Severity: finding.Warning,
	Needs:    append([]rule.Need{rule.Optional[*corev1.Pod]()}, rule.Owners()...),
	Machine: []snapshot.EvidenceKey{
		"limit/processes/*", "limit/cgroup/*/pids", "limit/cgroup/*/pids-max", "limit/cgroup/*/pids-refused", "limit/cgroup/*/pod",
	},
	Detect: detectProcessLimitReached,
})

const (
	// takenShare is from what share on a table of the kernel's counts as used up.
	takenShare = 0.9
	// refusedTold is for how long a refusal is told.
	refusedTold = 10 * time.Minute
)

func detectProcessLimitReached(p *rule.Pass) {
	for _, m := range p.Machines() {
		machineFull := processTableFull(p, m)
		if machineFull != nil {
			p.Report(*machineFull)
		}
		for _, e := range m.Select("limit/cgroup/*/pids-max") {
			if group := e.Key.Segments()[2]; group != "/" || machineFull == nil {
				groupFull(p, m, group)
			}
		}
	}
}

// processTableFull is the finding that the machine's own process ids are used up.
func processTableFull(p *rule.Pass, m snapshot.Machine) *finding.Finding {
	used, ok1 := m.Int("limit/processes/used")
	most, ok2 := m.Int("limit/processes/max")
	if !ok1 || !ok2 || float64(used) < takenShare*float64(most) {
		return nil
	}
	f := &finding.Finding{
		Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismExhausted,
		Title: finding.Textf("machine %s can start hardly any more processes, %d of %d threads are there", "머신 %s: 프로세스를 더 만들 수 없습니다(스레드 %[3]d개 중 %[2]d개 사용)", m.Node(), used, most),
		Why: finding.Join(" ", finding.Text{EN: "Every thread takes a process id, and those are nearly used up.", KO: "스레드마다 프로세스 ID를 하나씩 쓰며 거의 다 찼습니다."},
			zombies(m), threadsMost(p, m)),
		Evidence: []finding.Evidence{m.Evidence("limit/processes/used"), m.Evidence("limit/processes/max")},
		Remedies: forkers(m),
	}
	return f
}

// groupFull reports a control group that has met its limit.
func groupFull(p *rule.Pass, m snapshot.Machine, group string) {
	used, ok1 := m.Int(groupKey(group, "pids"))
	most, ok2 := m.Int(groupKey(group, "pids-max"))
	refused := m.Since(groupKey(group, "pids-refused"))
	late := refused.IsZero() || m.ObservedAt().Sub(refused) > refusedTold
	uid := m.Value(groupKey(group, "pod"))
	// A pod may live just below a limit that was made for it; what holds many programs may not.
	full := used >= most || uid == "" && float64(used) >= takenShare*float64(most)
	if !ok1 || !ok2 || !full && late {
		return
	}
	f := finding.Finding{
		Subject: m.Subject("ControlGroup", group), Mechanism: v1alpha1.MechanismExhausted, Field: "pids.max",
		Evidence: []finding.Evidence{m.Evidence(groupKey(group, "pids")), m.Evidence(groupKey(group, "pids-max")), m.Evidence(groupKey(group, "pids-refused"))},
		Remedies: forkers(m),
	}
	f.Title = finding.Textf("machine %s: %s may start no more processes, %d of %d threads are there", "머신 %s: %s에서 프로세스를 더 만들 수 없습니다(스레드 %[4]d개 중 %[3]d개 사용)",
		m.Node(), groupName(p, m, group, uid), used, most)
	if group == "/" {
		f.Subject = m.Subject("Machine", m.Node())
		f.Title = finding.Textf("machine %s may start no more processes, %d of %d threads are there", "머신 %s: 프로세스를 더 만들 수 없습니다(스레드 %[3]d개 중 %[2]d개 사용)", m.Node(), used, most)
	}
	if pod, ok := podOf(p, m, uid); ok {
		f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
		if w := p.Workload(pod); w.Kind != "Pod" {
			f.Explains = append(f.Explains, w)
		}
	}
	f.Why = finding.Textf("The control group %s has a limit of %d threads (pids.max); fork fails there with \"Resource temporarily unavailable\".",
		"cgroup %s의 스레드 한도는 %d개(pids.max)이며, 여기서 fork가 \"Resource temporarily unavailable\"로 실패합니다.", group, most)
	if !refused.IsZero() {
		f.Why = finding.Join(" ", f.Why, finding.Textf("The last refusal was seen at %s.", "마지막 거부는 %s에 관찰되었습니다.", finding.Clock(m.ObservedAt(), refused)))
	}
	if group == "/" {
		f.Why = finding.Join(" ", f.Why, zombies(m), threadsMost(p, m))
	}
	p.Report(f)
}

// zombies tells of processes that ended and were not collected, where there are many.
func zombies(m snapshot.Machine) finding.Text {
	// The number from which the EKS node monitoring agent speaks of them.
	const many = 20
	n, ok := m.Int("limit/processes/zombies")
	if !ok || n < many {
		return finding.Text{}
	}
	return finding.Textf("%d of them are zombies, most left by %s.", "그중 %d개가 zombie이며 대부분 %s 프로세스의 자식입니다.", n, m.Value("limit/processes/zombies-of"))
}

// threadsMost names the pod or service with most threads.
func threadsMost(p *rule.Pass, m snapshot.Machine) finding.Text {
	var most int64
	var name string
	for _, e := range m.Select("limit/cgroup/*/pids") {
		group := e.Key.Segments()[2]
		if n, ok := m.Int(e.Key); ok && n > most && group != "/" {
			most, name = n, groupName(p, m, group, m.Value(groupKey(group, "pod")))
		}
	}
	if most == 0 {
		return finding.Text{}
	}
	return finding.Textf("Most are of %s: %d.", "가장 많은 것은 %s입니다(%d개).", name, most)
}

// forkers finds who has the threads.
func forkers(m snapshot.Machine) finding.Remedies {
	return finding.Remedies{
		Now: []finding.Remedy{{
			Text: finding.Text{EN: "which control groups hold the most, and who leaves zombies", KO: "스레드가 가장 많은 cgroup과 zombie를 남기는 프로세스를 확인합니다"}, Machine: m.Node(),
			Command: "find /sys/fs/cgroup -name pids.current -exec grep -H . {} + | sort -t: -k2 -n | tail -5; ps -eo stat,ppid | awk '$1~/Z/{print $2}' | sort | uniq -c | sort -n | tail -5",
		}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "set podPidsLimit in the kubelet's configuration, so that no pod can take them all, and raise a limit that is too low for what runs there",
			KO: "kubelet 설정에 podPidsLimit을 지정하여 한 Pod가 모두 쓰지 못하게 하고, 너무 낮은 한도는 올립니다",
		}}},
	}
}

package probes

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ExecProbeLeaks",
	Title: finding.Textf("command of a probe leaves processes behind", "probe 명령이 프로세스를 남깁니다"),
	Doc: finding.Textf(
		"A container with an exec probe holds fifty or more processes that commands run in it have left: their command is gone, and the container's first process has become their parent. A command that runs out of timeoutSeconds is killed alone, "+
			"not what it has started, which runs on; and what has ended stays in the table of processes until the first process collects it, which programs that were not made for it do not. Each attempt adds to them, until the pod, or the node, may have no more processes "+
			"and every fork fails (ProcessLimitReached, NodePIDPressure). From five hundred on it is a warning, below a remark. An agent on the node sees it. Left alone: containers without an exec probe, a program's own children, servers that it starts, and fewer than fifty.",
		"exec probe가 있는 컨테이너에 실행된 명령이 남긴 프로세스가 50개 이상 있습니다. 명령은 끝났고 컨테이너의 첫 프로세스가 이들의 부모가 되었습니다. timeoutSeconds를 넘긴 명령은 그 프로세스만 종료되고 명령이 시작한 프로세스는 계속 실행되며, "+
			"끝난 프로세스도 첫 프로세스가 회수할 때까지 프로세스 테이블에 남는데(zombie) 그렇게 만들어지지 않은 프로그램은 회수하지 않습니다. 시도할 때마다 늘어나 결국 Pod나 노드의 프로세스 수가 한도에 이르면 "+
			"모든 fork가 실패합니다(ProcessLimitReached, NodePIDPressure). 500개부터 warning이고 그보다 적으면 참고로 알립니다. 노드의 agent가 확인합니다. exec probe가 없는 컨테이너, 프로그램 자신의 자식 프로세스, 프로그램이 시작한 서버, 50개 미만인 경우는 제외합니다."),
	Link:     probeTasks + "#define-a-liveness-command",
	Severity: finding.Warning,
	Needs:    baseNeeds(),
	Machine:  []snapshot.EvidenceKey{"limit/left/*/*"},
	Detect: func(p *rule.Pass) {
		left := leftIn(p)
		if len(left) == 0 {
			return
		}
		for f := range familiesOf(p.Snapshot).newest() {
			if l, ok := f.leaks(left); ok {
				p.Report(l.finding(p))
			}
		}
	},
})

const (
	// leftOver is from how many processes on that were left something leaks.
	leftOver = 50
	// leftMany is from how many on a limit comes near: kubelets are often told to allow a pod 1024 or 4096
	// (https://kubernetes.io/docs/concepts/policy/pid-limiting/#pod-pid-limits).
	leftMany = 500
)

// leftovers are the processes that commands have left in a container, as an agent sees them.
type leftovers struct {
	machine        snapshot.Machine
	id             string
	ended, running int64
	// program is the name of most of them, and reaper is that of the container's first process.
	program, reaper string
}

func (l leftovers) count() int64 { return l.ended + l.running }

// leftIn are the containers with leftovers, by the UIDs of their pods; of several in one pod the one with most.
func leftIn(p *rule.Pass) map[types.UID]leftovers {
	out := map[types.UID]leftovers{}
	for _, m := range p.Machines() {
		for _, e := range m.Select("limit/left/*/ended") {
			l := leftovers{machine: m, id: e.Key.Segments()[2]}
			l.ended, _ = m.Int(l.key("ended"))
			l.running, _ = m.Int(l.key("running"))
			l.program, l.reaper = m.Value(l.key("name")), m.Value(l.key("to"))
			pod := types.UID(m.Value(l.key("pod")))
			if l.count() >= leftOver && l.count() > out[pod].count() {
				out[pod] = l
			}
		}
	}
	return out
}

func (l leftovers) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("limit", "left", l.id, word)
}

// leak is a probe whose command leaves processes behind.
type leak struct {
	probe
	leftovers

	// pods are all of the family in which it does, and sure tells that the command names what is left.
	pods []*corev1.Pod
	sure bool
}

// leaks finds the pod of a family in which most is left, and the probe that does it.
func (f *family) leaks(left map[types.UID]leftovers) (leak, bool) {
	var worst leak
	var pods []*corev1.Pod
	for _, pod := range f.pods {
		l, ok := left[pod.UID]
		if !ok {
			continue
		}
		one, sure, ok := f.leaking(pod, l.program)
		if !ok {
			continue
		}
		pods = append(pods, pod)
		if worst.spec == nil || l.count() > worst.count() {
			worst = leak{probe: one, leftovers: l, sure: sure}
		}
	}
	worst.pods = pods
	return worst, worst.spec != nil
}

// leaking is the probe of a pod whose command names the processes that are left; else the one that is run most
// often. Startup probes are not run any more.
func (f *family) leaking(pod *corev1.Pod, program string) (one probe, sure, ok bool) {
	for at := range f.places(pod) {
		for _, p := range at.probes() {
			if p.spec.Exec == nil || p.kind == startup {
				continue
			}
			names := program != "" && p.runs(program)
			if !ok || names && !sure || names == sure && p.timing().Period < one.timing().Period {
				one, sure, ok = p, names, true
			}
		}
	}
	return one, sure, ok
}

// commBytes is how much of a program's name the kernel keeps (TASK_COMM_LEN of linux/sched.h).
const commBytes = 15

// runs tells whether the command of a probe names a program.
func (p probe) runs(program string) bool {
	words := strings.FieldsFunc(strings.Join(p.spec.Exec.Command, " "), func(r rune) bool { return strings.ContainsRune(" \t\n;|&()'\"`$={}", r) })
	return slices.ContainsFunc(words, func(word string) bool {
		base := path.Base(word)
		return base[:min(len(base), commBytes)] == program
	})
}

func (l leak) finding(p *rule.Pass) finding.Finding {
	f, t := l.of, l.timing()
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: l.field(".exec.command"),
		Title: finding.Format("%s: the %s command of container %s leaves processes behind, %s are in Pod %s", "%s: %[3]s 컨테이너의 %[2]s 명령이 프로세스를 남겨 Pod %[5]s에 %[4]s개가 쌓였습니다",
			finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(string(l.kind)), finding.Verbatim(l.container.Name), number(int(l.count())), finding.Verbatim(l.pod.Name)),
		Evidence: []finding.Evidence{
			{Source: finding.Named(f.workload), Path: l.field(""), Value: fmt.Sprintf("%s timeoutSeconds=%d periodSeconds=%d", l.asks(), seconds(t.Timeout), seconds(t.Period))},
			l.machine.Evidence(l.key("ended")), l.machine.Evidence(l.key("running")), l.machine.Evidence(l.key("name")),
		},
	}
	if l.count() < leftMany {
		out.Severity = finding.Info
	}
	guess := finding.Text{}
	if !l.sure {
		out.Confidence = v1alpha1.ConfidenceMedium
		guess = finding.Textf("the command does not name that program: it may be a part of a script of its, or of a command that somebody else runs in the container",
			"명령에 그 프로그램의 이름은 없습니다. 명령이 실행하는 스크립트의 일부이거나 다른 누군가가 컨테이너에서 실행한 명령일 수 있습니다")
	}
	out.Why = finding.Join("; ",
		finding.Format("%s have ended and were not collected by the container's first process (%s), %s still run; most are called %s",
			"%[1]s개는 끝났으나 컨테이너의 첫 프로세스(%[2]s)가 회수하지 않았고 %[3]s개는 아직 실행 중입니다. 대부분의 이름은 %[4]s입니다",
			number(int(l.ended)), finding.Verbatim(l.reaper), number(int(l.running)), finding.Verbatim(l.program)),
		finding.Textf("the command is run every %d s, and is killed after %d s without what it has started", "명령을 %d초마다 실행하며 %d초가 지나면 명령이 시작한 프로세스는 두고 명령만 종료합니다", seconds(t.Period), seconds(t.Timeout)),
		guess,
		finding.Textf("it is so in %d of %d pods, as far as agents see", "agent가 확인한 범위에서 Pod %[2]d개 중 %[1]d개에서 그렇습니다", len(l.pods), len(f.pods)))
	if l.running > l.ended {
		out.Remedies.Now = append(out.Remedies.Now, l.edit(".exec.command", finding.Textf(
			"have the command end what it starts before timeoutSeconds is over: a timeout of its own for each call (timeout 1 CMD, curl --max-time 1), and exec for the last",
			"timeoutSeconds 안에 명령이 시작한 것을 스스로 끝내게 합니다. 호출마다 자체 timeout을 주고(timeout 1 CMD, curl --max-time 1) 마지막 호출은 exec로 실행하십시오")))
	} else {
		out.Remedies.Now = append(out.Remedies.Now, f.mend(p.Snapshot, fields{"shareProcessNamespace": true}, finding.Textf(
			"let the pod's own first process collect what ends (containers then see each other's processes), or start the program under an init such as tini",
			"Pod의 첫 프로세스가 끝난 프로세스를 회수하게 합니다(컨테이너끼리 프로세스가 보이게 됩니다). 또는 tini 같은 init으로 프로그램을 시작하십시오")))
	}
	out.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"ask over a port (httpGet, tcpSocket, grpc), which starts no process, or run one program without a shell", "프로세스를 만들지 않는 port 방식(httpGet, tcpSocket, grpc)으로 확인하거나 shell 없이 프로그램 하나만 실행하십시오")}}
	return out
}

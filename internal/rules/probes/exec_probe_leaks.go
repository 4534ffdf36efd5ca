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
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ExecProbeLeaks",
	Title: finding.Textf("command of a probe leaves processes behind", "probe 명령이 프로세스를 남깁니다"),
	Doc: finding.Textf(
		"A container with an exec probe holds fifty or more processes that commands run in it have left: their command is gone, and the container's first process has become their parent. containerd kills a command that runs out of timeoutSeconds alone, "+
			"and what it has started runs on (CRI-O kills its process group); and what has ended stays in the table of processes until the first process collects it, which programs that were not made for it do not. Each attempt adds to them, until the pod, or the node, may have no more processes "+
			"and every fork fails (ProcessLimitReached, NodePIDPressure). From five hundred on it is a warning, below a remark. Where the command does not name the program that is left, it stays a remark, and those that still run count if events tell of a timeout of the command. An agent on the node sees it. "+
			"Left alone: containers without an exec probe, a program's own children, servers that it starts, and fewer than fifty.",
		"exec probe가 있는 컨테이너에 그 안에서 실행된 명령이 남긴 프로세스가 50개 이상 있습니다. 명령은 끝났고 컨테이너의 첫 프로세스가 이들의 부모가 되었습니다. containerd는 timeoutSeconds를 넘긴 명령의 프로세스만 종료하므로 명령이 시작한 프로세스는 계속 실행되며(CRI-O는 process group을 종료), "+
			"끝난 프로세스도 첫 프로세스가 회수할 때까지 프로세스 테이블에 남는데(zombie) 그렇게 만들어지지 않은 프로그램은 회수하지 않습니다. 시도할 때마다 늘어나 결국 Pod나 노드의 프로세스 수가 한도에 이르면 "+
			"모든 fork가 실패합니다(ProcessLimitReached, NodePIDPressure). 500개부터 warning이고 그보다 적으면 참고로 알립니다. 남은 프로그램의 이름이 명령에 없으면 참고로만 알리고, 실행 중인 것은 명령의 timeout이 Event에 있을 때만 셉니다. 노드의 agent가 확인합니다. exec probe가 없는 컨테이너, 프로그램 자신의 자식 프로세스, 프로그램이 시작한 서버, 50개 미만인 경우는 제외합니다."),
	Link:     probeTasks + "#define-a-liveness-command",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event]()),
	Machine:  []snapshot.EvidenceKey{"limit/left/*/*"},
	Detect: func(p *rule.Pass) {
		left := leftIn(p)
		if len(left) == 0 {
			return
		}
		for f := range familiesOf(p.Snapshot).newest() {
			if l, ok := f.leaks(p.Snapshot, left); ok {
				p.Report(l.finding())
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

// leftIn are the containers with leftovers, by the UIDs of their pods.
func leftIn(p *rule.Pass) map[types.UID][]leftovers {
	out := map[types.UID][]leftovers{}
	for _, m := range p.Machines() {
		for _, e := range m.Select("limit/left/*/ended") {
			l := leftovers{machine: m, id: e.Key.Segments()[2]}
			l.ended, _ = m.Int(l.key("ended"))
			l.running, _ = m.Int(l.key("running"))
			l.program, l.reaper = m.Value(l.key("name")), m.Value(l.key("to"))
			pod := types.UID(m.Value(l.key("pod")))
			if l.count() >= leftOver {
				out[pod] = append(out[pod], l)
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
func (f *family) leaks(s *snapshot.Snapshot, left map[types.UID][]leftovers) (leak, bool) {
	var worst leak
	var pods []*corev1.Pod
	for _, pod := range f.pods {
		for _, l := range left[pod.UID] {
			one, sure, ok := f.leaking(pod, l.program)
			if !sure && !one.timedOut(s, pod) {
				// Servers that forked twice look like this, and are no matter.
				l.running = 0
			}
			if !ok || l.count() < leftOver {
				continue
			}
			if !slices.Contains(pods, pod) {
				pods = append(pods, pod)
			}
			if worst.spec == nil || l.count() > worst.count() {
				worst = leak{probe: one, leftovers: l, sure: sure}
			}
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

// timedOut tells whether events tell that a command of a probe ran out of its time: what it had started runs on then.
func (p probe) timedOut(s *snapshot.Snapshot, pod *corev1.Pod) bool {
	return p.spec != nil && p.observe(s, []*corev1.Pod{pod}, "Unhealthy", func(e *corev1.Event) bool {
		return p.failed(e) && kubelet.MeaningOf(p.spec, output(e)) == kubelet.MeansSlow
	}).count > 0
}

// commBytes is how much of a program's name the kernel keeps (TASK_COMM_LEN of linux/sched.h).
const commBytes = 15

// lookers are programs that look for others by their names, which their commands then name without running them.
var lookers = []string{"pgrep", "pidof", "pkill", "killall", "ps", "supervisorctl", "service", "systemctl"}

// runs tells whether the command of a probe names a program that it runs.
func (p probe) runs(program string) bool {
	words := strings.FieldsFunc(strings.Join(p.spec.Exec.Command, " "), func(r rune) bool { return strings.ContainsRune(" \t\n;|&()'\"`$={}", r) })
	for i, word := range words {
		base := path.Base(word)
		words[i] = base[:min(len(base), commBytes)]
	}
	looks := slices.ContainsFunc(words, func(word string) bool { return slices.Contains(lookers, word) })
	return slices.Contains(words, program) && (!looks || slices.Contains(lookers, program))
}

func (l leak) finding() finding.Finding {
	f, t := l.of, l.timing()
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: l.field(".exec.command"),
		Title: finding.Format("%s: the %s command of container %s leaves processes behind, %s are in Pod %s", "%s: %[3]s 컨테이너의 %[2]s 명령이 프로세스를 남겨 Pod %[5]s에 %[4]s개가 쌓였습니다",
			finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(string(l.kind)), finding.Verbatim(l.container.Name), number(int(l.count())), finding.Verbatim(l.pod.Name)),
		Evidence: []finding.Evidence{
			{Source: finding.Named(f.workload), Path: l.field(""), Value: fmt.Sprintf("%s timeoutSeconds=%d periodSeconds=%d", l.asks(), seconds(t.Timeout), seconds(t.Period))},
			l.machine.Evidence(l.key("ended")),
		},
	}
	var running finding.Text
	if l.running > 0 {
		running = finding.Textf("%d still run", "%d개는 아직 실행 중입니다", l.running)
		out.Evidence = append(out.Evidence, l.machine.Evidence(l.key("running")))
	}
	out.Evidence = append(out.Evidence, l.machine.Evidence(l.key("name")))
	if l.count() < leftMany || !l.sure {
		out.Severity = finding.Info
	}
	guess := finding.Text{}
	if !l.sure {
		out.Confidence = v1alpha1.ConfidenceMedium
		out.Title = finding.Format("%s: %s processes of commands that are gone stay in Pod %s, and the %s command of container %s may leave them", "%s: 끝난 명령의 프로세스 %s개가 Pod %s에 남아 있으며 %[5]s 컨테이너의 %[4]s 명령이 남겼을 수 있습니다",
			finding.Verbatim(finding.Named(f.workload)), number(int(l.count())), finding.Verbatim(l.pod.Name), finding.Verbatim(string(l.kind)), finding.Verbatim(l.container.Name))
		guess = finding.Textf("the command does not name that program: a script that it runs may, or somebody else who runs commands in the container, or the program of this or another container of the pod leaves them",
			"명령에 그 프로그램의 이름은 없습니다. 명령이 실행하는 스크립트가 실행했거나, 다른 누군가가 컨테이너에서 실행했거나, 이 컨테이너나 Pod의 다른 컨테이너의 프로그램이 스스로 남긴 것일 수 있습니다")
	}
	out.Why = finding.Join("; ",
		finding.Format("%s have ended and were not collected by the container's first process (%s)", "%s개는 끝났으나 컨테이너의 첫 프로세스(%s)가 회수하지 않았습니다",
			number(int(l.ended)), finding.Verbatim(l.reaper)),
		running, finding.Format("most are called %s", "대부분의 이름은 %s입니다", finding.Verbatim(l.program)),
		finding.Textf("the command is run every %d s, and if it takes longer than %d s containerd kills it alone: what it has started runs on", "명령을 %d초마다 실행하며 %d초를 넘기면 containerd가 명령의 프로세스만 종료하고 명령이 시작한 프로세스는 계속 실행됩니다", seconds(t.Period), seconds(t.Timeout)),
		guess,
		finding.Textf("it is so in %d of %d pods, as far as agents see", "agent가 확인한 범위에서 Pod %[2]d개 중 %[1]d개에서 그렇습니다", len(l.pods), len(f.pods)))
	if l.running > l.ended {
		out.Remedies.Now = append(out.Remedies.Now, l.edit(".exec.command", finding.Textf(
			"have the command end what it starts before timeoutSeconds is over: a timeout of its own for each call (timeout 1 CMD, curl --max-time 1), and exec for the last",
			"timeoutSeconds 안에 명령이 시작한 것을 스스로 끝내게 합니다. 호출마다 자체 timeout을 주고(timeout 1 CMD, curl --max-time 1) 마지막 호출은 exec로 실행하십시오")))
	} else {
		// No patch: programs that must be process 1, such as systemd, or that signal it, break in a shared namespace
		// (https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/).
		out.Remedies.Now = append(out.Remedies.Now, finding.Remedy{Text: finding.Textf(
			"have what ends collected: start the program under an init such as tini in its image, or set shareProcessNamespace: true in the pod's spec if the program need not be process 1 and its containers may see each other's processes and environment",
			"끝난 프로세스를 회수하게 합니다. 이미지에서 tini 같은 init으로 프로그램을 시작하십시오. 프로그램이 1번 프로세스가 아니어도 되고 컨테이너끼리 프로세스와 환경 변수가 보여도 된다면 Pod spec에 shareProcessNamespace: true를 설정하십시오")})
	}
	out.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"ask over a port (httpGet, tcpSocket, grpc), which starts no process, or run one program without a shell", "프로세스를 만들지 않는 port 방식(httpGet, tcpSocket, grpc)으로 확인하거나 shell 없이 프로그램 하나만 실행하십시오")}}
	return out
}

package probes

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ExecProbesLoadNode",
	Title: finding.Textf("commands of probes load a node", "probe 명령이 노드에 부하를 줍니다"),
	Doc: finding.Textf(
		"The pods of a node have so many exec probes, at such short periods, that ten commands or more are begun on it every second: each is a new process in the container's namespaces through the container runtime, which costs far more than an HTTP or "+
			"TCP probe, and a hundred pods with the cheapest command at a period of a second have been seen to take a third of a node. The sum is over what the definitions say of pods that run there. Left alone: nodes below that, and other kinds of probes.",
		"노드에 있는 Pod의 exec probe가 많고 주기가 짧아 1초에 10개 이상의 명령이 시작됩니다. exec probe는 매번 container runtime을 통해 컨테이너의 namespace에 새 프로세스를 만들므로 HTTP나 TCP probe보다 훨씬 비싸며, "+
			"가장 가벼운 명령이라도 1초 주기의 Pod 100개가 노드의 3분의 1을 쓴 사례가 있습니다. 그 노드에서 실행되는 Pod의 정의를 합산합니다. 그보다 적은 노드와 다른 종류의 probe는 제외합니다."),
	Link:     "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect:   execProbesLoadNode,
})

// commandsPerSecond is how many commands of probes a second are a load
// (https://github.com/kubernetes/kubernetes/issues/82440).
const commandsPerSecond = 10.0

func execProbesLoadNode(p *rule.Pass) {
	type load struct {
		rate       float64
		byWorkload map[*family]float64
	}
	nodes := map[string]*load{}
	for _, f := range familiesOf(p.Snapshot) {
		rate := f.commandRate()
		if rate == 0 {
			continue
		}
		for _, pod := range f.pods {
			if pod.Spec.NodeName == "" || pod.Status.Phase != corev1.PodRunning {
				continue
			}
			n := nodes[pod.Spec.NodeName]
			if n == nil {
				n = &load{byWorkload: map[*family]float64{}}
				nodes[pod.Spec.NodeName] = n
			}
			n.rate += rate
			n.byWorkload[f] += rate
		}
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		n := nodes[name]
		if n.rate < commandsPerSecond {
			continue
		}
		most := slices.SortedFunc(maps.Keys(n.byWorkload), func(a, b *family) int {
			return cmp.Or(cmp.Compare(n.byWorkload[b], n.byWorkload[a]), finding.CompareSubjects(a.workload, b.workload), finding.CompareSubjects(a.controller, b.controller))
		})
		first := most[0]
		one, _ := first.first(func(p probe) bool { return p.spec.Exec != nil })
		slower := max(10, 2*seconds(one.timing().Period))
		p.Report(finding.Finding{
			Subject: finding.Subject{Kind: "Node", Name: name}, Mechanism: v1alpha1.MechanismDegraded, Explains: []finding.Subject{first.workload},
			Title: finding.Textf("Node %s: probes begin %.0f commands a second on it, most of them of %s", "Node %s: probe가 1초에 명령 %.0f개를 시작하며 가장 많은 것은 %s입니다", name, n.rate, finding.Named(first.workload)),
			Why: finding.Textf("by the periods of the exec probes of its pods; %s makes %.1f of them (%.2f a second and pod); each is a process that the container runtime starts",
				"노드에 있는 Pod의 exec probe 주기를 합산한 값입니다; %s에서 %.1f개(Pod당 초당 %.2f개)를 시작하며, 매번 container runtime이 프로세스를 만듭니다", finding.Named(first.workload), n.byWorkload[first], first.commandRate()),
			Evidence: []finding.Evidence{{Source: finding.Named(first.workload), Path: one.field(".periodSeconds"), Value: strconv.Itoa(seconds(one.timing().Period))}},
			Remedies: finding.Remedies{Later: []finding.Remedy{one.mend(p.Snapshot, fields{one.name(): fields{"periodSeconds": slower}},
				finding.Textf("ask every %d s, or over a port (httpGet, tcpSocket, grpc), which starts no process", "%d초마다 확인하거나 프로세스를 만들지 않는 port 방식(httpGet, tcpSocket, grpc)으로 바꿉니다", slower))}},
		})
	}
}

// commandRate is how many commands a second the probes of one pod begin.
func (f *family) commandRate() float64 {
	rate := 0.0
	for at := range f.places(f.pods[0]) {
		for _, one := range at.probes() {
			if one.spec.Exec != nil && one.kind != startup {
				rate += 1 / one.timing().Period.Seconds()
			}
		}
	}
	return rate
}

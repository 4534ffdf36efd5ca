package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeReservationTooLarge",
	Title: finding.Text{
		EN: "node keeps most of itself back from pods",
		KO: "노드가 자원의 대부분을 Pod에 내주지 않습니다",
	},
	Doc: finding.Text{
		EN: "Pods wait for cpu or memory that a node has and keeps back: its allocatable is far below its capacity (three fifths or more are reserved, or a third and three times as much as on another " +
			"node), and the pods would fit without that. The kubelet's kubeReserved, systemReserved or evictionHard is wrong, not what the pods ask for. The kubelet's own configuration is asked " +
			"for and quoted where it may be read. Usual reservations, and large ones for which no pod waits, are left alone.",
		KO: "노드에 있지만 내주지 않는 cpu나 memory를 Pod가 기다립니다. allocatable이 capacity보다 훨씬 작고(60% 이상을 예약했거나, 3분의 1 이상이면서 다른 노드의 3배 이상) 그만큼을 예약하지 않으면 Pod가 들어갑니다. Pod의 요청량이 아니라 kubelet의 " +
			"kubeReserved, systemReserved, evictionHard 설정이 잘못된 것입니다. 읽을 수 있으면 kubelet의 실제 설정을 인용합니다. 일반적인 예약과, 기다리는 Pod가 없는 큰 예약은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/",
	Severity: finding.Warning,
	Needs:    queueNeeds(),
	For:      time.Minute,
	Detect:   detectNodeReservationTooLarge,
})

// What counts as too much to keep back. Hosted clusters reserve a quarter of the first 4 GiB and, on
// their smallest shared machines, half of the cpu
// (https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes).
const (
	hugeShare   = 0.6
	oddShare    = 1.0 / 3
	oddMultiple = 3
)

// reservation is how much of a resource a node keeps back.
type reservation struct {
	node     *corev1.Node
	resource corev1.ResourceName
	capacity resource.Quantity
	kept     resource.Quantity
	share    float64
	// peer keeps back far less; nil where no node is to compare with.
	peer      *corev1.Node
	peerShare float64
}

func detectNodeReservationTooLarge(p *rule.Pass) {
	big := bigReservations(p.Snapshot)
	if len(big) == 0 {
		return
	}
	b := newBoard(p.Snapshot)
	var waiting []queue
	blamed := map[string]reservation{}
	for _, q := range queues(p.Snapshot) {
		held, pod := false, newSeeker(q.pods[0])
		for _, r := range big {
			h, wants := b.between(pod, r.node)
			if !wants || !h.onlyShortage() || len(h.short) != 1 || h.short[0] != r.resource {
				continue
			}
			room := b.freeOn(r.node)[r.resource].DeepCopy()
			room.Add(r.kept)
			want := pod.requests[r.resource]
			if want.Cmp(room) <= 0 {
				blamed[r.node.Name], held = r, true
			}
		}
		if held {
			waiting = append(waiting, q)
		}
	}
	var guilty []reservation
	for _, r := range big {
		if blamed[r.node.Name].node == r.node && blamed[r.node.Name].resource == r.resource {
			guilty = append(guilty, r)
		}
	}
	if len(guilty) > 0 {
		p.Report(reservationTooLarge(p, guilty, waiting))
	}
}

// bigReservations returns what nodes keep back beyond what is usual, by node.
func bigReservations(s *snapshot.Snapshot) []reservation {
	var out []reservation
	nodes := snapshot.List[*corev1.Node](s)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		var least *corev1.Node
		leastShare := 1.0
		for _, n := range nodes {
			if share, ok := keptShare(n, name); ok && share < leastShare {
				least, leastShare = n, share
			}
		}
		for _, n := range nodes {
			share, ok := keptShare(n, name)
			if !ok || share < oddShare || share < hugeShare && share < oddMultiple*leastShare || leaving(n) {
				continue
			}
			r := reservation{node: n, resource: name, capacity: n.Status.Capacity[name], share: share}
			r.kept = r.capacity.DeepCopy()
			r.kept.Sub(n.Status.Allocatable[name])
			if least != n && leastShare < share/2 {
				r.peer, r.peerShare = least, leastShare
			}
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b reservation) int { return strings.Compare(a.node.Name, b.node.Name) })
	return out
}

func keptShare(n *corev1.Node, name corev1.ResourceName) (float64, bool) {
	all, known := n.Status.Capacity[name]
	given, knownToo := n.Status.Allocatable[name]
	if !known || !knownToo || all.Sign() <= 0 {
		return 0, false
	}
	return 1 - given.AsApproximateFloat64()/all.AsApproximateFloat64(), true
}

func reservationTooLarge(p *rule.Pass, guilty []reservation, waiting []queue) finding.Finding {
	first := guilty[0]
	name := first.node.Name
	explains, since := claims(waiting)
	for _, r := range guilty {
		explains = append(explains, snapshot.SubjectOf(r.node))
	}
	slices.SortFunc(explains, finding.CompareSubjects)
	explains = slices.Compact(explains)
	given := first.node.Status.Allocatable[first.resource]
	f := finding.Finding{
		Subject: snapshot.SubjectOf(first.node), Mechanism: v1alpha1.MechanismMisconfigured, Field: "kubeReserved", Since: since, Explains: explains,
		Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Textf("node %s gives pods only %s of its %s %s", "노드 %s: %[4]s %[3]s 중 %[2]s만 Pod에 내줍니다",
			name, given.String(), first.capacity.String(), first.resource),
	}
	var names []string
	for _, r := range guilty {
		if !slices.Contains(names, r.node.Name) {
			names = append(names, r.node.Name)
		}
		if len(f.Evidence) < 2 {
			given := r.node.Status.Allocatable[r.resource]
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: "Node " + r.node.Name, Path: fmt.Sprintf(".status.allocatable[%s]", r.resource), Value: fmt.Sprintf("%s of %s", given.String(), r.capacity.String()),
			})
		}
	}
	if len(names) > 1 {
		f.Subject = cluster
		f.Title = finding.Format("nodes %s keep most of their %s back from pods", "노드 %s: %s의 대부분을 Pod에 내주지 않습니다", finding.List(names), finding.Verbatim(string(first.resource)))
	}
	f.Evidence = append(f.Evidence, waiting[0].evidence())
	why := finding.Textf("%s of %s %s are kept back from pods (%d %%).", "%[2]s %[3]s 중 %[1]s를 Pod에 내주지 않습니다(%[4]d%%).",
		first.kept.String(), first.capacity.String(), first.resource, int(first.share*100+0.5))
	if first.peer != nil {
		why = finding.Join(" ", why, finding.Textf("Node %s keeps back %d %%.", "노드 %s는 %d%%입니다.", first.peer.Name, int(first.peerShare*100+0.5)))
	}
	if kept, field, ok := configured(p, first); ok {
		f.Field, f.Confidence = field, v1alpha1.ConfidenceHigh
		f.Evidence = append(f.Evidence, kept)
		why = finding.Join(" ", why, finding.Textf("Its kubelet is configured so: %s.", "kubelet 설정: %s.", kept.Path+" "+kept.Value))
	}
	f.Why = finding.Join(" ", why, finding.Format("Waiting, and fitting otherwise: %s, of %s.", "예약이 없으면 들어갈 수 있지만 대기 중: %s(%s).", finding.Pods(podsIn(waiting)), workloadsOf(waiting)))
	f.RuledOut = []finding.Statement{{Text: finding.Text{
		EN: "requests of the pods that are too large: the machine has that much, unused by other pods",
		KO: "Pod의 요청량이 너무 큼: 머신에는 다른 Pod가 쓰지 않는 양이 그만큼 있습니다",
	}}}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{
				Text:    finding.Text{EN: "see what is reserved", KO: "예약 설정을 확인합니다"},
				Command: "grep -nA4 -E 'kubeReserved|systemReserved|evictionHard' /var/lib/kubelet/config.yaml; cat /var/lib/kubelet/kubeadm-flags.env", Machine: name,
			},
			{Text: finding.Text{EN: "mend it and restart the kubelet; running containers stay", KO: "값을 고친 뒤 kubelet을 재시작합니다. 실행 중인 컨테이너에는 영향이 없습니다"}, Command: "systemctl restart kubelet", Machine: name},
		},
		Later: []finding.Remedy{{
			Text:    finding.Text{EN: "watch allocatable against capacity, and keep the kubelet's configuration of all nodes in one place", KO: "allocatable을 capacity와 비교하여 감시하고 모든 노드의 kubelet 설정을 한 곳에서 관리합니다"},
			Command: "kubectl get nodes -o custom-columns=NAME:.metadata.name,CPU:.status.capacity.cpu,FOR_PODS:.status.allocatable.cpu,MEMORY:.status.capacity.memory,FOR_PODS_MEMORY:.status.allocatable.memory",
		}},
	}
	return f
}

// kubeletReservations are the fields of a KubeletConfiguration that take from allocatable
// (k8s.io/kubelet/config/v1beta1, KubeletConfiguration). The type itself would bring a logging
// library along.
type kubeletReservations struct {
	KubeReserved   map[string]string `json:"kubeReserved"`
	SystemReserved map[string]string `json:"systemReserved"`
	EvictionHard   map[string]string `json:"evictionHard"`
}

// configured asks the kubelet what it reserves, and returns the largest part of it.
func configured(p *rule.Pass, r reservation) (evidence finding.Evidence, field string, ok bool) {
	a, asked := p.Ask(snapshot.Question{Kind: snapshot.KubeletConfig, Name: r.node.Name})
	if !asked || a.Outcome != snapshot.Answered {
		return finding.Evidence{}, "", false
	}
	var c kubeletReservations
	if err := json.Unmarshal([]byte(a.Text), &c); err != nil {
		return finding.Evidence{}, "", false
	}
	var most resource.Quantity
	for _, part := range []struct {
		field string
		value string
	}{
		{"kubeReserved." + string(r.resource), c.KubeReserved[string(r.resource)]},
		{"systemReserved." + string(r.resource), c.SystemReserved[string(r.resource)]},
		{"evictionHard.memory.available", c.EvictionHard[string(r.resource)+".available"]},
	} {
		q, err := resource.ParseQuantity(part.value)
		if err != nil || q.Cmp(most) <= 0 {
			continue
		}
		most, field, ok = q, part.field, true
		evidence = finding.Evidence{Source: "kubelet on " + r.node.Name, Path: part.field, Value: part.value, At: finding.Timestamp(a.At)}
	}
	return evidence, field, ok
}

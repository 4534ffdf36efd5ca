package node

import (
	"fmt"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeMissing",
	Title: finding.Text{
		EN: "node is not in the cluster",
		KO: "노드가 클러스터에 없습니다",
	},
	Doc: finding.Text{
		EN: "A node that should exist has no Node object: an inventory or an earlier snapshot names it, its kubelet renews a Lease, pods that ran there are still bound to it, an agent reports from it, or its " +
			"kubelet was given a certificate and never registered. Its containers may go on running without the cluster knowing them, and its capacity is gone. Pods that wait for just that " +
			"node, by selector or by a volume that lies there, are explained by it. What it left behind (pods, VolumeAttachments, CSINode) is listed. A node that an autoscaler or a cloud " +
			"provider removed, one whose Lease is old, and pods that name a node which never existed are left alone; so is a node that was deleted without any trace, unless an " +
			"inventory names it.",
		KO: "있어야 할 노드의 Node 객체가 없습니다. inventory나 이전 snapshot에 그 이름이 있거나, kubelet이 Lease를 갱신하고 있거나, 그곳에서 실행되던 Pod가 아직 배정되어 있거나, agent가 보고하거나, kubelet이 인증서를 받고도 등록되지 않은 경우입니다. " +
			"컨테이너는 클러스터가 모르는 채 계속 실행될 수 있고 그 노드의 용량은 사라진 상태입니다. nodeSelector나 그곳에 있는 volume 때문에 그 노드만 기다리는 Pod는 이 문제로 설명합니다. 남겨진 것(Pod, VolumeAttachment, CSINode)을 나열합니다. " +
			"autoscaler나 cloud provider가 제거한 노드, 오래된 Lease, 존재한 적 없는 노드를 지정한 Pod는 대상이 아니며, 흔적 없이 삭제된 노드는 inventory에 있을 때만 보고합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#management",
	Severity: finding.Warning,
	Needs: append([]rule.Need{
		rule.Whole[*corev1.Node](), rule.Optional[*corev1.Pod](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Event](),
		rule.Optional[*certificatesv1.CertificateSigningRequest](), rule.Optional[*storagev1.CSINode](), rule.Optional[*storagev1.VolumeAttachment](),
		rule.Optional[*corev1.PersistentVolume](), rule.Optional[*corev1.PersistentVolumeClaim](),
	}, rule.Owners()...),
	// An autoscaler's removal, and a cluster that forgets a node with all that belongs to it, take less.
	For:    2 * time.Minute,
	Causes: []rule.Cause{{Code: "EtcdDataLost", Via: rule.Cluster}},
	Detect: detectNodeMissing,
})

// sign is one reason to believe that a node should exist.
type sign struct {
	says     finding.Text
	evidence finding.Evidence
	// alive tells that its machine was seen at work after the Node was gone.
	alive bool
	since time.Time
}

func detectNodeMissing(p *rule.Pass) {
	signs := signsOfNodes(p)
	var names []string
	for name := range signs {
		names = append(names, name)
	}
	slices.Sort(names)
	waiting := pinned(p, signs)
	for _, name := range names {
		p.Report(missingNode(p, name, signs[name], waiting[name]))
	}
}

func missingNode(p *rule.Pass, name string, signs []sign, waiting []queue) finding.Finding {
	f := finding.Finding{
		Subject: finding.Subject{Kind: "Node", Name: name}, Mechanism: v1alpha1.MechanismMissing,
		Title: finding.Textf("node %s is not in the cluster, and should be", "노드 %s: 있어야 할 노드가 클러스터에 없습니다", name),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "a kubelet registers its node when it starts; running containers stay as they are", KO: "kubelet은 시작할 때 노드를 등록합니다. 실행 중인 컨테이너에는 영향이 없습니다"},
					Command: "systemctl restart kubelet; journalctl -u kubelet -n 50 --no-pager", Machine: name,
				},
				{
					Text:    finding.Text{EN: "what runs there that the cluster does not know", KO: "클러스터가 모르는 채 그곳에서 실행 중인 것을 확인합니다"},
					Command: "crictl pods", Machine: name,
				},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "let few people delete Nodes, and compare the cluster with an inventory (--inventory) regularly",
				KO: "Node를 삭제할 수 있는 사람을 제한하고, 정기적으로 inventory와 클러스터를 비교합니다(--inventory)",
			}}},
		},
	}
	var says []finding.Text
	alive := false
	for _, s := range signs {
		says = append(says, s.says)
		alive = alive || s.alive
		if len(f.Evidence) < 4 {
			f.Evidence = append(f.Evidence, s.evidence)
		}
		if !s.since.IsZero() && (f.Since.IsZero() || s.since.Before(f.Since)) {
			f.Since = s.since
		}
	}
	if !alive {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	if e := removal(p, name); e != nil {
		f.Since = snapshot.EventTime(e)
		f.Evidence = append(f.Evidence, eventEvidence(e))
		says = append(says, finding.Textf("The Node was deleted at %s.", "Node 객체는 %s에 삭제되었습니다.", finding.Clock(p.Now(), f.Since)))
	}
	left, what := remains(p, name)
	f.Explains = left
	for _, q := range waiting {
		f.Explains = append(f.Explains, q.subjects()...)
	}
	if len(waiting) > 0 {
		says = append(says, finding.Format("Pods wait that only this node can take: %s.", "이 노드에만 배정할 수 있는 Pod가 대기하고 있습니다: %s.", workloadsOf(waiting)))
		f.Evidence = append(f.Evidence, waiting[0].evidence())
	}
	if alive {
		says = append(says, finding.Text{
			EN: "Its machine is at work: its containers may run without the cluster knowing them.",
			KO: "머신이 동작하고 있으므로 컨테이너가 클러스터가 모르는 채 실행 중일 수 있습니다.",
		})
	}
	f.Why = finding.Join(" ", append(append([]finding.Text{{EN: "There is no Node object of this name.", KO: "이 이름의 Node 객체가 없습니다."}}, says...), what)...)
	return f
}

// remains are what a node left behind: its pods, which are to be explained by its absence, and the
// rest in words.
func remains(p *rule.Pass, name string) ([]finding.Subject, finding.Text) {
	var pods []finding.Subject
	for _, pod := range p.PodsOn(name) {
		if !snapshot.PodDone(pod) {
			pods = append(pods, snapshot.SubjectOf(pod))
		}
	}
	var parts []finding.Text
	if len(pods) > 0 {
		parts = append(parts, finding.Pods(len(pods)))
	}
	var attachments []string
	for _, a := range snapshot.List[*storagev1.VolumeAttachment](p.Snapshot) {
		if a.Spec.NodeName == name {
			attachments = append(attachments, a.Name)
		}
	}
	if len(attachments) > 0 {
		parts = append(parts, finding.Format("VolumeAttachment %s", "VolumeAttachment %s", finding.List(attachments)))
	}
	if _, ok := snapshot.Get[*storagev1.CSINode](p.Snapshot, "", name); ok {
		parts = append(parts, finding.Verbatim("CSINode "+name))
	}
	if len(parts) == 0 {
		return nil, finding.Text{}
	}
	return pods, finding.Format("Left behind: %s.", "남겨진 것: %s.", finding.Join(", ", parts...))
}

// pinned returns the queues that wait for one of the missing nodes: by its host name, or by a volume
// that lies on it.
func pinned(p *rule.Pass, missing map[string][]sign) map[string][]queue {
	out := map[string][]queue{}
	if len(missing) == 0 {
		return out
	}
	for _, q := range queues(p.Snapshot) {
		pod := q.pods[0]
		want := map[string]bool{pod.Spec.NodeSelector[corev1.LabelHostname]: true}
		if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
			for _, name := range hostnames(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution) {
				want[name] = true
			}
		}
		for _, v := range pod.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			claim, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, v.PersistentVolumeClaim.ClaimName)
			if !ok || claim.Spec.VolumeName == "" {
				continue
			}
			if pv, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", claim.Spec.VolumeName); ok && pv.Spec.NodeAffinity != nil {
				for _, name := range hostnames(pv.Spec.NodeAffinity.Required) {
					want[name] = true
				}
			}
		}
		for name := range want {
			if len(missing[name]) > 0 {
				out[name] = append(out[name], q)
			}
		}
	}
	return out
}

// hostnames are the nodes that a selector names by their host name or name.
func hostnames(sel *corev1.NodeSelector) []string {
	if sel == nil {
		return nil
	}
	var out []string
	for _, t := range sel.NodeSelectorTerms {
		for _, e := range slices.Concat(t.MatchExpressions, t.MatchFields) {
			if e.Operator == corev1.NodeSelectorOpIn && (e.Key == corev1.LabelHostname || e.Key == "metadata.name") {
				out = append(out, e.Values...)
			}
		}
	}
	return out
}

func eventEvidence(e *corev1.Event) finding.Evidence {
	value := finding.Quote(e.Message)
	if e.Count > 1 {
		value = fmt.Sprintf("%s (x%d)", value, e.Count)
	}
	return finding.Evidence{
		Source: "Event " + e.InvolvedObject.Kind + " " + e.InvolvedObject.Name, Path: e.Reason + ".message", Value: value, At: finding.Timestamp(snapshot.EventTime(e)),
	}
}

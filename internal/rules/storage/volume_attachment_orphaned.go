package storage

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeAttachmentOrphaned",
	Title: finding.Text{EN: "volume is attached to a node that does not exist", KO: "존재하지 않는 노드에 volume이 연결되어 있습니다"},
	Doc: finding.Text{
		EN: "VolumeAttachments name a node that is not in the cluster any more: it was deleted before its volumes were detached, and the driver has not let go " +
			"since. A pod that needs such a volume elsewhere cannot start; where none does, it is told as info. Left alone: attachments to nodes that " +
			"exist, and those of a node that was deleted a few minutes ago.",
		KO: "VolumeAttachment가 더 이상 클러스터에 없는 노드를 가리킵니다. volume이 분리되기 전에 노드가 삭제되었고 driver가 아직 분리하지 못한 상태입니다. " +
			"그 volume이 필요한 Pod는 다른 노드에서 시작하지 못하며, 필요한 Pod가 없으면 info로 알립니다. 존재하는 노드의 연결과 몇 분 전에 삭제된 노드의 연결은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration",
	Severity: finding.Warning,
	Needs: owners(rule.Any[*storagev1.VolumeAttachment](), rule.Whole[*corev1.Node](), rule.Optional[*corev1.PersistentVolume](),
		rule.Optional[*corev1.PersistentVolumeClaim]()),
	For:    time.Minute,
	Causes: []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect: volumeAttachmentOrphaned,
})

// orphanedAfter is how old an attachment must be. The attach controller detaches what a deleted node
// leaves behind after six minutes at most
// (k8s.io/kubernetes/pkg/controller/volume/attachdetach, ReconcilerMaxWaitForUnmountDuration).
const orphanedAfter = 10 * time.Minute

func volumeAttachmentOrphaned(p *rule.Pass) {
	byNode := map[string][]*storagev1.VolumeAttachment{}
	for _, a := range snapshot.List[*storagev1.VolumeAttachment](p.Snapshot) {
		if _, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", a.Spec.NodeName); !ok && p.Now().Sub(a.CreationTimestamp.Time) > orphanedAfter {
			byNode[a.Spec.NodeName] = append(byNode[a.Spec.NodeName], a)
		}
	}
	if len(byNode) == 0 {
		return
	}
	all := usersOfClaims(p.Snapshot)
	for _, node := range slices.Sorted(maps.Keys(byNode)) {
		p.Report(orphaned(p, node, byNode[node], all))
	}
}

func orphaned(p *rule.Pass, node string, left []*storagev1.VolumeAttachment, all users) finding.Finding {
	f := finding.Finding{Subject: finding.Subject{Kind: "Node", Name: node}, Mechanism: v1alpha1.MechanismMissing}
	var volumes []string
	var claims []*corev1.PersistentVolumeClaim
	var pods []*corev1.Pod
	var words finding.Text
	for _, a := range left {
		if a.DeletionTimestamp != nil {
			f.Since = finding.Earlier(f.Since, a.DeletionTimestamp.Time)
		}
		if e := a.Status.DetachError; e != nil && words.IsZero() {
			words = finding.Format("driver %s says %s", "driver %s의 응답: %s", finding.Verbatim(a.Spec.Attacher), quoted(e.Message))
		}
		f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(a)), Path: ".spec.nodeName", Value: node})
		if a.Spec.Source.PersistentVolumeName == nil {
			continue
		}
		volumes = append(volumes, *a.Spec.Source.PersistentVolumeName)
		v, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", *a.Spec.Source.PersistentVolumeName)
		if !ok || v.Spec.ClaimRef == nil || shared(v) {
			continue
		}
		if c, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name); ok {
			if waitingPods := notReady(all.of(c)); len(waitingPods) > 0 {
				claims, pods = append(claims, c), append(pods, waitingPods...)
			}
		}
	}
	if f.Since.IsZero() { // When the node went nothing tells; since when it matters those tell that wait.
		for _, pod := range pods {
			f.Since = finding.Earlier(f.Since, boundAt(pod))
		}
	}
	f.Evidence = f.Evidence[:min(len(f.Evidence), 3)]
	f.Explains = harmed(p.Snapshot, claims, pods)
	for _, v := range volumes {
		f.Explains = append(f.Explains, finding.Subject{Kind: "PersistentVolume", Name: v})
	}
	f.Title = finding.Format("node %s does not exist any more, and still has volumes attached: %s", "노드 %s는 더 이상 없지만 volume이 연결된 채로 남아 있습니다: %s",
		finding.Verbatim(node), finding.List(volumes))
	effect := finding.Text{EN: "nothing needs them now", KO: "지금 필요로 하는 Pod는 없습니다"}
	if len(pods) > 0 {
		effect = finding.Format("%s waits for them", "%s가 기다립니다", workloadNames(p.Snapshot, pods))
	} else {
		f.Severity = finding.Info
	}
	f.Why = finding.Join("; ", finding.Text{
		EN: "the node was deleted before they were detached", KO: "volume이 분리되기 전에 노드가 삭제되었습니다",
	}, words, effect)
	f.Remedies.Now = []finding.Remedy{{
		Text:    finding.Textf("only when the machine of %s is known to be off: take the attachment away", "노드 %s의 머신이 꺼진 것이 확실한 경우에만 연결 기록을 지웁니다", node),
		Command: "kubectl delete volumeattachments.storage.k8s.io " + left[0].Name,
	}}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "drain a node before it is deleted, and delete it after its volumes are detached", KO: "노드는 drain한 뒤, volume이 모두 분리되면 삭제합니다",
	}}}
	return f
}

package storage

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeClaimLost",
	Title: finding.Text{EN: "claim has lost its volume", KO: "PersistentVolumeClaim이 volume을 잃었습니다"},
	Doc: finding.Text{
		EN: "A PersistentVolumeClaim is Lost: the PersistentVolume that it was bound to was deleted, or belongs to another claim. Pods that have it mounted " +
			"go on until they are restarted; no new pod can mount it. Deleting a PersistentVolume object seldom deletes the data behind it, so the object " +
			"can be written again by hand. Left alone: claims that wait for their first volume.",
		KO: "PersistentVolumeClaim이 Lost 상태입니다. 연결되어 있던 PersistentVolume이 삭제되었거나 다른 claim에 속합니다. 이미 mount한 Pod는 재시작 전까지 동작하지만 새 Pod는 mount할 수 없습니다. " +
			"PersistentVolume object를 지워도 실제 데이터는 남아 있는 경우가 많아 object를 다시 만들 수 있습니다. 첫 volume을 기다리는 claim은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#phase",
	Severity: finding.Warning,
	Needs:    owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Optional[*corev1.PersistentVolume](), rule.Optional[*corev1.Event]()),
	Detect:   volumeClaimLost,
})

func volumeClaimLost(p *rule.Pass) {
	var all users
	for _, c := range snapshot.List[*corev1.PersistentVolumeClaim](p.Snapshot) {
		if c.Status.Phase != corev1.ClaimLost || c.DeletionTimestamp != nil {
			continue
		}
		if all == nil {
			all = usersOfClaims(p.Snapshot)
		}
		p.Report(lostClaim(p, c, all.of(c)))
	}
}

func lostClaim(p *rule.Pass, c *corev1.PersistentVolumeClaim, pods []*corev1.Pod) finding.Finding {
	subject, ill := snapshot.SubjectOf(c), notReady(pods)
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismMissing, Explains: without(harmed(p.Snapshot, nil, ill), subject), Field: ".spec.volumeName",
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.phase", Value: string(c.Status.Phase)}},
	}
	// k8s.io/kubernetes/pkg/controller/volume/persistentvolume/pv_controller.go, syncBoundClaim.
	for _, e := range p.EventsOf(subject) {
		if e.Reason == "ClaimLost" || e.Reason == "ClaimMisbound" {
			f.Since = finding.Earlier(f.Since, snapshot.EventStart(e))
			f.Evidence = append(f.Evidence[:1], eventEvidence(e))
		}
	}
	volume := c.Spec.VolumeName
	f.Title = finding.Textf("claim %s/%s has lost its PersistentVolume %s", "PersistentVolumeClaim %s/%s: PersistentVolume %s를 잃었습니다", c.Namespace, c.Name, volume)
	var state finding.Text
	v, there := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", volume)
	switch {
	case there && v.Spec.ClaimRef != nil:
		state = finding.Textf("the PersistentVolume exists and belongs to claim %s/%s (%s)", "PersistentVolume은 있으나 claim %s/%s에 속합니다(%s)", v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name, v.Status.Phase)
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "PersistentVolume " + volume, Path: ".spec.claimRef", Value: v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name})
	case p.Coverage(snapshot.KindOf[*corev1.PersistentVolume]()).Known() && !there:
		state = finding.Text{EN: "the PersistentVolume object was deleted; nothing tells by whom", KO: "PersistentVolume object가 삭제되었습니다. 누가 삭제했는지는 기록되지 않습니다"}
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "PersistentVolumes", Path: ".metadata.name", Value: "none named " + volume})
	}
	var effect finding.Text
	switch {
	case len(ill) > 0:
		effect = finding.Format("%s cannot use it", "%s가 사용하지 못합니다", workloadNames(p.Snapshot, ill))
	case len(pods) > 0:
		effect = finding.Format("%s goes on with it until its pods are restarted", "%s는 Pod가 재시작되기 전까지 계속 동작합니다", workloadNames(p.Snapshot, pods))
	}
	f.Why = finding.Join("; ", state, effect)
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "do not delete the claim yet; back up what running pods still have mounted", KO: "claim을 아직 지우지 말고, 실행 중인 Pod에 mount된 데이터를 먼저 백업합니다"},
			Command: fmt.Sprintf("kubectl -n %s get pods -o wide; kubectl -n %[1]s get persistentvolumeclaim %s -o yaml", c.Namespace, c.Name),
		},
		{
			Text: finding.Textf("find the disk behind the volume, write PersistentVolume %s again for it with .spec.claimRef set to this claim, then delete and create the claim with .spec.volumeName %[1]s",
				"volume 뒤의 실제 디스크를 찾아 .spec.claimRef가 이 claim을 가리키는 PersistentVolume %s를 다시 만들고, claim을 지운 뒤 .spec.volumeName을 %[1]s로 하여 다시 만듭니다", volume),
			Command: fmt.Sprintf("kubectl get persistentvolume %s -o yaml", volume),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "keep reclaimPolicy Retain for volumes with data, back up PersistentVolume objects, and give few people the right to delete them",
		KO: "데이터가 있는 volume은 reclaimPolicy Retain을 쓰고, PersistentVolume object를 백업하며, 삭제 권한을 제한합니다",
	}}}
	return f
}

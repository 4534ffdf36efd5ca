package storage

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeFailed",
	Title: finding.Text{EN: "PersistentVolume was not given back, or is being deleted in use", KO: "PersistentVolume이 회수되지 않았거나 사용 중에 삭제되고 있습니다"},
	Doc: finding.Text{
		EN: "A PersistentVolume whose claim is gone could not be deleted or recycled (Failed, or Released for long under the policy Delete), so the disk " +
			"behind it remains and is paid for; or one that a claim is bound to is being deleted and will be lost with its claim's last pod. A volume that " +
			"is Released under the policy Retain keeps its data on purpose and is told as info. Left alone: volumes that are free or bound, and ones released a moment ago.",
		KO: "claim이 사라진 PersistentVolume을 삭제하거나 재활용하지 못했습니다(Failed, 또는 Delete 정책인데 오래 Released 상태). 실제 디스크가 남아 비용이 계속 발생합니다. " +
			"또는 claim에 연결된 PersistentVolume이 삭제되는 중입니다. Retain 정책으로 Released 상태인 volume은 일부러 데이터를 남긴 것이므로 info로 알립니다. " +
			"비어 있거나 연결된 volume, 방금 반환된 volume은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.PersistentVolume](), rule.Optional[*corev1.PersistentVolumeClaim](), rule.Optional[*corev1.Event]()},
	For:      reclaimPatience,
	Causes:   []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster}},
	Detect:   volumeFailed,
})

// reclaimPatience is how long a volume may take to be deleted behind its claim: detaching from a node
// that is gone alone takes six minutes
// (k8s.io/kubernetes/pkg/controller/volume/attachdetach, ReconcilerMaxWaitForUnmountDuration).
const reclaimPatience = 10 * time.Minute

func volumeFailed(p *rule.Pass) {
	for _, v := range snapshot.List[*corev1.PersistentVolume](p.Snapshot) {
		switch {
		case v.DeletionTimestamp != nil && v.Status.Phase == corev1.VolumeBound:
			p.Report(deletedInUse(v))
		case v.Status.Phase == corev1.VolumeFailed, v.Status.Phase == corev1.VolumeReleased:
			p.Report(leftOver(p, v))
		}
	}
}

// phaseSince is when a volume came to its phase; for one of an older API server, when it was made.
func phaseSince(v *corev1.PersistentVolume) time.Time {
	if t := v.Status.LastPhaseTransitionTime; t != nil {
		return t.Time
	}
	return v.CreationTimestamp.Time
}

func leftOver(p *rule.Pass, v *corev1.PersistentVolume) finding.Finding {
	subject := snapshot.SubjectOf(v)
	f := finding.Finding{
		Subject: subject, Since: phaseSince(v), Field: ".spec.persistentVolumeReclaimPolicy", Mechanism: v1alpha1.MechanismFailing,
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.phase", Value: string(v.Status.Phase), At: finding.Timestamp(phaseSince(v))}},
	}
	claim := "(none)"
	if v.Spec.ClaimRef != nil {
		claim = v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	was := finding.Textf("it was the volume of claim %s, %s", "claim %s의 volume이었습니다(%s)", claim, size.String())
	remove := finding.Remedy{
		Text:    finding.Text{EN: "when the data is not needed: delete it, and see afterwards whether the disk behind it remains", KO: "데이터가 필요 없으면 삭제하고, 실제 디스크가 남았는지 확인합니다"},
		Command: "kubectl delete persistentvolume " + v.Name,
	}
	if v.Status.Phase == corev1.VolumeReleased && v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		f.Severity, f.Mechanism = finding.Info, v1alpha1.MechanismDegraded
		f.Title = finding.Textf("PersistentVolume %s is kept with its data, and free for nobody", "PersistentVolume %s: 데이터와 함께 보존 중이며 아무도 사용할 수 없습니다", v.Name)
		f.Why = finding.Join("; ", was, finding.Textf("its policy is %s", "정책은 %s입니다", v.Spec.PersistentVolumeReclaimPolicy))
		f.Remedies.Now = []finding.Remedy{
			{
				Text:    finding.Text{EN: "to use it again: take the old claim out of it, then bind a claim with .spec.volumeName", KO: "다시 쓰려면 이전 claim 참조를 지우고 .spec.volumeName으로 연결합니다"},
				Command: "kubectl patch persistentvolume " + v.Name + ` --type=json -p '[{"op":"remove","path":"/spec/claimRef"}]'`,
			}, remove,
		}
		return f
	}
	f.Title = finding.Textf("PersistentVolume %s could not be deleted behind its claim", "PersistentVolume %s: claim이 사라진 뒤 삭제되지 못했습니다", v.Name)
	why := finding.Textf("its policy is %s, and it is %s", "정책은 %s이고 상태는 %s입니다", v.Spec.PersistentVolumeReclaimPolicy, v.Status.Phase)
	words := v.Status.Message
	if e := lastEvent(p.Snapshot, subject, "VolumeFailedDelete", "VolumeFailedRecycle"); e != nil {
		f.Evidence = append(f.Evidence, eventEvidence(e))
		words = e.Message
	}
	if words != "" {
		why = finding.Join("; ", why, quoted(words))
	}
	f.Why = finding.Join("; ", was, why)
	f.Remedies.Now = []finding.Remedy{
		{Text: finding.Text{EN: "see what its provisioner says", KO: "provisioner가 남긴 내용을 확인합니다"}, Command: "kubectl describe persistentvolume " + v.Name}, remove,
	}
	return f
}

// deletedInUse tells of a volume that a finalizer keeps until its claim lets go of it.
func deletedInUse(v *corev1.PersistentVolume) finding.Finding {
	subject := snapshot.SubjectOf(v)
	claim := finding.Subject{Kind: "PersistentVolumeClaim"}
	if v.Spec.ClaimRef != nil {
		claim.Namespace, claim.Name = v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name
	}
	return finding.Finding{
		Severity: finding.Info, Subject: subject, Mechanism: v1alpha1.MechanismStopped, Since: v.DeletionTimestamp.Time, Field: ".metadata.deletionTimestamp",
		Title: finding.Textf("PersistentVolume %s is being deleted while claim %s is bound to it", "PersistentVolume %s: claim %s에 연결된 채로 삭제 중입니다", v.Name, finding.Qualified(claim)),
		Why: finding.Text{
			EN: "pods go on; once the claim is deleted, so is the volume, by its policy with the data",
			KO: "Pod는 계속 동작하지만, claim을 지우면 volume도 지워지며 정책에 따라 데이터도 함께 지워집니다",
		},
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".metadata.deletionTimestamp", Value: v.DeletionTimestamp.UTC().Format(time.RFC3339)}},
		Remedies: finding.Remedies{Now: []finding.Remedy{{
			Text:    finding.Text{EN: "a deletion cannot be taken back: keep the data safe first", KO: "삭제는 취소할 수 없으므로 먼저 데이터를 보존하도록 정책을 바꿉니다"},
			Command: "kubectl patch persistentvolume " + v.Name + ` -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'`,
		}}},
	}
}

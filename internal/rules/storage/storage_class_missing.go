package storage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StorageClassMissing",
	Title: finding.Text{EN: "StorageClass does not exist", KO: "StorageClass가 없습니다"},
	Doc: finding.Text{
		EN: "Claims wait for a volume of a StorageClass that does not exist, or name none where no class is the default: nobody will ever make " +
			"their volumes, and pods that mount them stay Pending. Where no pod mounts such a claim it is told as info. Left alone: claims that ask for a " +
			"volume without a class, claims that a free PersistentVolume of the same class name fits, and claims that have a volume.",
		KO: "PersistentVolumeClaim이 지정한 StorageClass가 없거나, 클래스를 지정하지 않았는데 기본 클래스가 없습니다. volume이 만들어지지 않으므로 이를 사용하는 Pod는 계속 Pending입니다. " +
			"사용하는 Pod가 없으면 info로 알립니다. 클래스 없는 volume을 요청한 claim, 같은 클래스 이름의 비어 있는 PersistentVolume이 있는 claim, 이미 volume이 있는 claim은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#class-1",
	Severity: finding.Warning,
	Needs: owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Optional[*storagev1.StorageClass](),
		rule.Optional[*corev1.PersistentVolume](), rule.Optional[*corev1.Event]()),
	For:    time.Minute,
	Detect: storageClassMissing,
})

// noDefault stands for the class of claims that name none, where no class is the default.
const noDefault = "(default)"

func storageClassMissing(p *rule.Pass) {
	known := p.Coverage(snapshot.KindOf[*storagev1.StorageClass]()).Known()
	if !known {
		p.Skip(finding.Text{
			EN: "StorageClasses were not read whole: only those are judged that an event tells of", KO: "StorageClass를 모두 읽지 못해 이벤트에 나온 경우만 판단합니다",
		})
	}
	classes := snapshot.List[*storagev1.StorageClass](p.Snapshot)
	hasDefault := slices.ContainsFunc(classes, snapshot.IsDefaultClass)
	free := largestFree(p)
	missing := map[string][]*corev1.PersistentVolumeClaim{}
	for _, c := range snapshot.List[*corev1.PersistentVolumeClaim](p.Snapshot) {
		name, named := classOf(c)
		if !waiting(c) || c.Spec.VolumeName != "" || named && name == "" {
			continue
		}
		if !named {
			name = noDefault
		}
		if _, ok := snapshot.Get[*storagev1.StorageClass](p.Snapshot, "", name); ok || !named && hasDefault {
			continue
		}
		// A volume that was made beforehand may yet be bound: the class itself need not exist for that.
		want := c.Spec.Resources.Requests[corev1.ResourceStorage]
		if largest, ok := free[name]; ok && largest.Cmp(want) >= 0 {
			continue
		}
		if !known && !saidMissing(p, c) {
			continue
		}
		missing[name] = append(missing[name], c)
	}
	if len(missing) == 0 {
		return
	}
	all := usersOfClaims(p.Snapshot)
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		p.Report(missingClass(p, name, missing[name], all))
	}
}

// saidMissing tells whether the controller says of a claim that its class does not exist
// (k8s.io/kubernetes/pkg/controller/volume/persistentvolume/pv_controller.go, findProvisionablePlugin).
func saidMissing(p *rule.Pass, c *corev1.PersistentVolumeClaim) bool {
	e := lastEvent(p.Snapshot, snapshot.SubjectOf(c), "ProvisioningFailed", "FailedBinding")
	return e != nil && (strings.Contains(e.Message, "storageclass.storage.k8s.io") && strings.Contains(e.Message, "not found") ||
		strings.HasSuffix(e.Message, "no storage class is set"))
}

// largestFree is the size of the largest free PersistentVolume of each class name.
func largestFree(p *rule.Pass) map[string]resource.Quantity {
	out := map[string]resource.Quantity{}
	for _, v := range snapshot.List[*corev1.PersistentVolume](p.Snapshot) {
		size := v.Spec.Capacity[corev1.ResourceStorage]
		if largest, ok := out[v.Spec.StorageClassName]; v.Status.Phase == corev1.VolumeAvailable && (!ok || size.Cmp(largest) > 0) {
			out[v.Spec.StorageClassName] = size
		}
	}
	return out
}

func missingClass(p *rule.Pass, name string, claims []*corev1.PersistentVolumeClaim, all users) finding.Finding {
	f := finding.Finding{
		Subject: finding.Subject{Kind: "StorageClass", Name: name}, Mechanism: v1alpha1.MechanismMissing, Since: oldest(claims),
		Field: ".spec.storageClassName",
	}
	var pods []*corev1.Pod
	for _, c := range claims {
		pods = append(pods, notReady(all.of(c))...)
		if e := lastEvent(p.Snapshot, snapshot.SubjectOf(c), "ProvisioningFailed", "FailedBinding"); e != nil && len(f.Evidence) == 0 {
			f.Evidence = append(f.Evidence, eventEvidence(e))
		}
	}
	f.Explains = harmed(p.Snapshot, claims, pods)
	if p.Coverage(snapshot.KindOf[*storagev1.StorageClass]()).Known() {
		f.Evidence = append(f.Evidence, classesThere(p))
	}
	waits := finding.Format("%s has no volume", "%s에 volume이 없습니다", count(claims))
	if len(claims) > 1 {
		waits = finding.Format("%s have no volume", "%s에 volume이 없습니다", count(claims))
	}
	if name == noDefault {
		f.Title = finding.Join(", ", finding.Text{EN: "no StorageClass is the default", KO: "기본 StorageClass 없음"}, waits)
		f.Why = finding.Format("%s names no class, so the default would be taken", "%s: 클래스를 지정하지 않아 기본 클래스가 필요합니다", claimList(claims))
		f.Remedies.Now = []finding.Remedy{{
			Text: finding.Text{EN: "make one class the default; claims that wait are taken up by themselves", KO: "클래스 하나를 기본으로 지정합니다. 대기 중인 claim은 자동으로 처리됩니다"},
			Command: "kubectl get storageclasses; kubectl annotate storageclass " + someClass(p) +
				" storageclass.kubernetes.io/is-default-class=true",
		}}
	} else {
		f.Title = finding.Join(", ", finding.Textf("StorageClass %s does not exist", "StorageClass %s 없음", name), waits)
		f.Why = finding.Format("%s asks for it", "%s에서 요청합니다", claimList(claims))
		f.Remedies.Now = []finding.Remedy{
			{
				Text: finding.Textf("create StorageClass %s, from where it is kept; claims that wait are taken up by themselves",
					"원본에서 StorageClass %s를 만듭니다. 대기 중인 claim은 자동으로 처리됩니다", name),
				Command: "kubectl get storageclasses",
			},
			{
				Text:    finding.Text{EN: "or, where the name is wrong: a claim's class cannot be changed, so delete the claim (it holds no data) and create it with the right one", KO: "이름이 틀렸다면 claim의 클래스는 바꿀 수 없으므로, 데이터가 없는 이 claim을 지우고 올바른 클래스로 다시 만듭니다"},
				Command: fmt.Sprintf("kubectl -n %s delete persistentvolumeclaim %s", claims[0].Namespace, claims[0].Name),
			},
		}
	}
	if len(pods) == 0 {
		f.Severity = finding.Info
		f.Why = finding.Join("; ", f.Why, finding.Text{EN: "no pod mounts it", KO: "사용하는 Pod가 없습니다"})
	} else {
		f.Why = finding.Join("; ", f.Why, finding.Format("%s waits for it", "%s가 기다립니다", workloadNames(p.Snapshot, pods)))
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "name only classes in manifests that every cluster they go to has, and check them with kubectl get storageclass before",
		KO: "manifest에는 배포할 모든 클러스터에 있는 클래스만 지정하고, 배포 전에 kubectl get storageclass로 확인합니다",
	}}}
	return f
}

// classesThere is the evidence of absence.
func classesThere(p *rule.Pass) finding.Evidence {
	var names []string
	for _, c := range snapshot.List[*storagev1.StorageClass](p.Snapshot) {
		if snapshot.IsDefaultClass(c) {
			names = append(names, c.Name+" (default)")
			continue
		}
		names = append(names, c.Name)
	}
	value := finding.List(names).EN
	if len(names) == 0 {
		value = "(none)"
	}
	return finding.Evidence{
		Source: "StorageClasses", Path: ".metadata.name", Value: value,
		At: finding.Timestamp(p.Coverage(snapshot.KindOf[*storagev1.StorageClass]()).ReadAt),
	}
}

// someClass is the first class there is, for a command to paste.
func someClass(p *rule.Pass) string {
	if classes := snapshot.List[*storagev1.StorageClass](p.Snapshot); len(classes) > 0 {
		return classes[0].Name
	}
	return "NAME"
}

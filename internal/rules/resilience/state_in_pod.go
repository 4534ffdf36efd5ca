package resilience

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StateInPod",
	Title: finding.Text{EN: "a StatefulSet keeps its state in its pods", KO: "StatefulSet이 상태를 Pod 안에 둡니다"},
	Doc: finding.Text{
		EN: "A StatefulSet has no volume claims and writes to an emptyDir: what it keeps there is gone when a pod is replaced, as after a drain or the loss of a node. Left alone: StatefulSets with claims, " +
			"those without any writable volume (they want stable names only), and emptyDirs in memory, which nobody takes for lasting.",
		KO: "StatefulSet에 volume claim이 없고 emptyDir에 기록합니다. drain이나 노드 손실로 Pod가 교체되면 그 내용은 사라집니다. claim이 있는 StatefulSet, 쓸 수 있는 volume이 없는 것(고정된 이름만 필요한 경우), " +
			"메모리 emptyDir은 대상이 아닙니다.",
	},
	Link:     mitigations,
	Severity: finding.Info,
	Risk:     true,
	Needs:    []rule.Need{rule.Any[*appsv1.StatefulSet]()},
	Detect: func(p *rule.Pass) {
		for _, set := range snapshot.List[*appsv1.StatefulSet](p.Snapshot) {
			volumes := set.Spec.Template.Spec.Volumes
			scratch := slices.IndexFunc(volumes, func(v corev1.Volume) bool {
				return v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
			})
			claims := slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil })
			if snapshot.Replicas(set.Spec.Replicas) == 0 || len(set.Spec.VolumeClaimTemplates) > 0 || claims || scratch < 0 {
				continue
			}
			name := volumes[scratch].Name
			p.Report(finding.Finding{
				Subject: finding.Subject{Kind: "StatefulSet", Namespace: set.Namespace, Name: set.Name}, Mechanism: v1alpha1.MechanismMisconfigured,
				Field: ".spec.template.spec.volumes[" + name + "].emptyDir", Confidence: v1alpha1.ConfidenceMedium,
				Title: finding.Textf("StatefulSet %s/%s keeps its state in an emptyDir (%s): it is gone when a pod is replaced", "StatefulSet %s/%s가 상태를 emptyDir(%s)에 둡니다. Pod가 교체되면 사라집니다", set.Namespace, set.Name, name),
				Why:   finding.Text{EN: "it has no volumeClaimTemplates and no claim among its volumes; an emptyDir ends with its pod", KO: "volumeClaimTemplates도, volume claim도 없습니다. emptyDir은 Pod와 함께 삭제됩니다"},
				Remedies: finding.Remedies{Later: []finding.Remedy{{
					Text: finding.Text{EN: "give it volumeClaimTemplates (the StatefulSet has to be made anew for that)", KO: "volumeClaimTemplates를 사용합니다(StatefulSet을 다시 만들어야 합니다)"},
				}}},
			})
		}
	},
})

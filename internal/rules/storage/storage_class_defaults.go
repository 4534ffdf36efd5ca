package storage

import (
	"slices"

	storagev1 "k8s.io/api/storage/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StorageClassDefaults",
	Title: finding.Text{EN: "several StorageClasses are the default", KO: "기본 StorageClass가 여러 개입니다"},
	Doc: finding.Text{
		EN: "More than one StorageClass is marked as the default. Claims that name no class get the one that was created last, which may not be the " +
			"one that anybody means. Left alone: one default class, and none, which matters only to claims that name none (StorageClassMissing).",
		KO: "기본으로 표시된 StorageClass가 둘 이상입니다. 클래스를 지정하지 않은 claim은 가장 나중에 만들어진 클래스를 받으므로 의도와 다를 수 있습니다. " +
			"기본 클래스가 하나인 경우는 제외하며, 하나도 없는 경우는 클래스를 지정하지 않은 claim에만 영향을 주므로 StorageClassMissing에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass",
	Severity: finding.Info,
	Needs:    []rule.Need{rule.Any[*storagev1.StorageClass]()},
	Detect:   storageClassDefaults,
})

func storageClassDefaults(p *rule.Pass) {
	var defaults []*storagev1.StorageClass
	for _, c := range snapshot.List[*storagev1.StorageClass](p.Snapshot) {
		if snapshot.IsDefaultClass(c) {
			defaults = append(defaults, c)
		}
	}
	if len(defaults) < 2 {
		return
	}
	// The newest is taken, of equally new ones the first by name
	// (k8s.io/kubernetes/pkg/volume/util/storageclass.go, GetDefaultClass).
	taken := slices.MinFunc(defaults, func(a, b *storagev1.StorageClass) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	var names []string
	f := finding.Finding{
		Subject: snapshot.SubjectOf(taken), Mechanism: v1alpha1.MechanismMisconfigured, Since: taken.CreationTimestamp.Time,
		Field: ".metadata.annotations[storageclass.kubernetes.io/is-default-class]",
	}
	for _, c := range defaults {
		names = append(names, c.Name)
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(c)), Path: f.Field, Value: "true", At: finding.Timestamp(c.CreationTimestamp.Time),
		})
		if c != taken {
			f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
				Text:    finding.Textf("keep %s as the default and take the mark from %s", "%s만 기본으로 두고 %s의 표시를 제거합니다", taken.Name, c.Name),
				Command: "kubectl annotate storageclass " + c.Name + " storageclass.kubernetes.io/is-default-class-",
			})
		}
	}
	f.Title = finding.Format("%s: %s StorageClasses are the default", "%s: 기본 StorageClass가 %s개입니다", finding.List(names), finding.Textf("%d", "%d", len(names)))
	f.Why = finding.Textf("claims that name no class get %s, the one that was created last", "클래스를 지정하지 않은 claim은 가장 나중에 만들어진 %s를 받습니다", taken.Name)
	p.Report(f)
}

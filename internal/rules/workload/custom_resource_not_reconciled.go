package workload

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CustomResourceNotReconciled",
	Title: finding.Text{EN: "custom resource's change not taken up by its controller", KO: "custom resource의 변경이 controller에 반영되지 않았습니다"},
	Doc: finding.Text{
		EN: "Custom resources were changed, and their controller has not looked at the change for ten minutes: metadata.generation is ahead of " +
			"status.observedGeneration, and nobody wrote the status since. Mostly the controller does not run. Objects of one kind are one finding. Left " +
			"alone: kinds that do not write observedGeneration, or that have no status subresource (their generation counts status writes too), changes " +
			"of the last minutes, and objects that are suspended or being deleted.",
		KO: "custom resource가 변경된 지 10분이 지나도록 controller가 처리하지 않았습니다(metadata.generation이 status.observedGeneration보다 크고, 이후 status를 기록한 적이 없음). " +
			"대개 controller가 동작하지 않는 경우입니다. 같은 종류의 객체는 하나로 묶습니다. observedGeneration을 쓰지 않는 종류, status subresource가 없는 종류(generation이 status 기록에도 늘어남), " +
			"최근 몇 분 안의 변경, 일시 중지되었거나 삭제 중인 객체는 제외합니다.",
	},
	Link:     "https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties",
	Severity: finding.Warning,
	Needs: []rule.Need{
		rule.Whole[*apiextensionsv1.CustomResourceDefinition](), rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](),
	},
	CustomResources: true,
	For:             10 * time.Minute,
	Symptom:         true,
	Detect:          customResourceNotReconciled,
})

func customResourceNotReconciled(p *rule.Pass) {
	byKind := map[snapshot.Kind][]*snapshot.CustomResource{}
	var kinds []snapshot.Kind
	for _, r := range p.CustomResources() {
		if !judged(r) || r.ObservedGeneration == nil || *r.ObservedGeneration >= r.Generation {
			continue
		}
		changed := snapshot.SpecWritten(r)
		controller, wrote := statusWritten(r)
		if changed.IsZero() || wrote.After(changed) {
			continue // Nothing says since when, or the controller lives and has seen the object since.
		}
		if by, at := snapshot.LastManager(r); controller != "" && by == controller && at.Equal(changed) {
			continue // The controller wrote the change itself, as one that fills in defaults does.
		}
		if byKind[r.Kind] == nil {
			kinds = append(kinds, r.Kind)
		}
		byKind[r.Kind] = append(byKind[r.Kind], r)
	}
	controllers := controllersByName(p)
	told := map[finding.Subject]bool{}
	for _, k := range kinds {
		if !hasStatusSubresource(p.Snapshot, k) {
			continue
		}
		f := notReconciled(p, byKind[k])
		if told[f.Subject] { // Kinds of different groups may have one name.
			f.Subject = definitionOf(k)
		}
		told[f.Subject] = true
		p.Report(waitingFor(controllers, f, byKind[k][0]))
	}
}

// hasStatusSubresource tells whether writes of the status leave the generation of a kind's objects alone
// (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource).
func hasStatusSubresource(s *snapshot.Snapshot, k snapshot.Kind) bool {
	d, ok := snapshot.Get[*apiextensionsv1.CustomResourceDefinition](s, "", k.GroupResource())
	if !ok {
		return false
	}
	for _, v := range d.Spec.Versions {
		if v.Name == k.Version {
			return v.Subresources != nil && v.Subresources.Status != nil
		}
	}
	return false
}

func notReconciled(p *rule.Pass, resources []*snapshot.CustomResource) finding.Finding {
	first := resources[0]
	var since time.Time
	names := make([]string, 0, len(resources))
	for _, r := range resources {
		names = append(names, finding.Qualified(r.Subject()))
		if at := snapshot.SpecWritten(r); since.IsZero() || at.Before(since) {
			first, since = r, at
		}
	}
	subject := first.Subject()
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: since,
		Title: finding.Textf("%s: its last change is not taken up by its controller", "%s: 마지막 변경이 controller에 반영되지 않았습니다", finding.Named(subject)),
		Why: finding.Textf("metadata.generation is %d, and its controller has seen %d", "metadata.generation은 %d이나 controller가 처리한 값은 %d입니다",
			first.Generation, *first.ObservedGeneration),
		Evidence: []finding.Evidence{
			{Source: finding.Named(subject), Path: ".metadata.generation", Value: strconv.FormatInt(first.Generation, 10), At: finding.Timestamp(since)},
			{Source: finding.Named(subject), Path: ".status.observedGeneration", Value: strconv.FormatInt(*first.ObservedGeneration, 10)},
		},
	}
	if len(resources) > 1 {
		f.Subject = definitionOf(first.Kind)
		f.Title = finding.Textf("%s: changes of %d objects are not taken up by their controller", "%s: 객체 %d개의 변경이 controller에 반영되지 않았습니다", first.Kind.GroupResource(), len(resources))
		f.Why = finding.Join("; ", finding.Format("objects: %s", "객체: %s", finding.List(names)),
			finding.Join(": ", finding.Verbatim(finding.Named(subject)), f.Why))
	}
	manager, at := statusWritten(first)
	look := controllerWord(first, manager)
	if manager != "" {
		f.Why = finding.Join("; ", f.Why, finding.Textf("%q wrote its status last, at %s", "status를 마지막으로 기록한 주체 %q, %s", manager, finding.Clock(p.Now(), at)))
	}
	f.Remedies.Now = []finding.Remedy{
		{
			Text:    finding.Text{EN: "see whether the controller of the kind runs, and what it logs", KO: "이 종류를 담당하는 controller가 실행 중인지 확인하고 로그를 봅니다"},
			Command: "kubectl get pods -A -o wide | grep -i " + look,
		},
		{
			Text:    finding.Text{EN: "see the object, with who wrote what and when", KO: "객체와 변경 이력을 확인합니다"},
			Command: resourceCommand(first, false),
		},
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "give the controller a liveness probe and leader election with a Lease, so that it is started again and its absence shows",
		KO: "controller에 liveness probe와 Lease 기반 leader election을 두어 자동으로 재시작되고 중단이 드러나게 하십시오",
	}}}
	return f
}

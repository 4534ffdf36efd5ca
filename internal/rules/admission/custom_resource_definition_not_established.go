package admission

import (
	"fmt"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "CustomResourceDefinitionNotEstablished",
	Title: finding.Text{EN: "CustomResourceDefinition is not served", KO: "CustomResourceDefinition이 제공되지 않습니다"},
	Doc: finding.Text{
		EN: "A CustomResourceDefinition exists and the API server does not serve its kind: its names clash with another kind's, it lacks the approval that groups of Kubernetes' own need, or it is being deleted " +
			"and objects of it still wait for their finalizers. A schema that is not structural is served and told as info. Left alone: the seconds in which a new definition is being installed.",
		KO: "CustomResourceDefinition이 있지만 API server가 그 kind를 제공하지 않습니다. 이름이 다른 kind와 충돌하거나, Kubernetes 자체 group에 필요한 승인이 없거나, 삭제 중인데 남은 객체가 finalizer를 기다리는 경우입니다. " +
			"구조적이지 않은 schema는 제공되므로 info로 알립니다. 새 정의를 설치하는 동안은 제외합니다.",
	},
	Link:            "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/",
	Severity:        finding.Warning,
	Needs:           []rule.Need{rule.Any[*apiextensionsv1.CustomResourceDefinition]()},
	CustomResources: true,
	For:             2 * time.Minute,
	Detect:          detectCustomResourceDefinitionNotEstablished,
})

func detectCustomResourceDefinitionNotEstablished(p *rule.Pass) {
	for _, crd := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		switch {
		case crd.DeletionTimestamp != nil:
			p.Report(definitionTerminating(p, crd))
		case refusedBy(crd) != nil:
			p.Report(definitionRefused(crd, *refusedBy(crd)))
		default:
			if c := definitionCondition(crd, apiextensionsv1.NonStructuralSchema); c != nil && c.Status == apiextensionsv1.ConditionTrue {
				f := definitionRefused(crd, *c)
				f.Severity = finding.Info
				f.Title = finding.Textf("%s: its schema is not structural", "%s: schema가 구조적이지 않습니다", crd.Name)
				p.Report(f)
			}
		}
	}
}

// refusedBy returns the condition that says most about why a definition is not served: names that
// clash before what follows from it.
func refusedBy(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinitionCondition {
	for _, t := range []apiextensionsv1.CustomResourceDefinitionConditionType{
		apiextensionsv1.NamesAccepted, apiextensionsv1.KubernetesAPIApprovalPolicyConformant, apiextensionsv1.Established,
	} {
		if c := definitionCondition(crd, t); c != nil && c.Status == apiextensionsv1.ConditionFalse {
			return c
		}
	}
	return nil
}

func definitionCondition(crd *apiextensionsv1.CustomResourceDefinition, t apiextensionsv1.CustomResourceDefinitionConditionType) *apiextensionsv1.CustomResourceDefinitionCondition {
	i := slices.IndexFunc(crd.Status.Conditions, func(c apiextensionsv1.CustomResourceDefinitionCondition) bool { return c.Type == t })
	if i < 0 {
		return nil
	}
	return &crd.Status.Conditions[i]
}

func conditionEvidence(crd *apiextensionsv1.CustomResourceDefinition, c apiextensionsv1.CustomResourceDefinitionCondition) finding.Evidence {
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(crd)), Path: ".status.conditions[" + string(c.Type) + "]",
		Value: finding.Quote(fmt.Sprintf("%s, %s: %s", c.Status, c.Reason, c.Message)), At: finding.Timestamp(c.LastTransitionTime.Time),
	}
}

func definitionRefused(crd *apiextensionsv1.CustomResourceDefinition, c apiextensionsv1.CustomResourceDefinitionCondition) finding.Finding {
	return finding.Finding{
		Subject: snapshot.SubjectOf(crd), Mechanism: v1alpha1.MechanismMisconfigured, Since: c.LastTransitionTime.Time, Field: ".spec",
		Title: finding.Textf("%s: the API server does not serve its kind %s (%s)", "%s: API server가 %s kind를 제공하지 않습니다(%s)", crd.Name, crd.Spec.Names.Kind, c.Reason),
		Why: finding.Textf("Its condition %s is %s: %s", "condition %s의 값은 %s입니다: %s", c.Type, c.Status,
			finding.Quote(c.Message)),
		Evidence: []finding.Evidence{conditionEvidence(crd, c)},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Text{EN: "see its conditions and names, and mend the manifest that it comes from", KO: "condition과 이름을 확인하고 원본 manifest를 고칩니다"},
				Command: "kubectl describe crd " + crd.Name,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "apply definitions with --dry-run=server before they are released", KO: "배포하기 전에 --dry-run=server로 정의를 검증합니다",
			}}},
		},
	}
}

// definitionTerminating tells of a definition whose objects do not go.
func definitionTerminating(p *rule.Pass, crd *apiextensionsv1.CustomResourceDefinition) finding.Finding {
	f := finding.Finding{
		Subject: snapshot.SubjectOf(crd), Mechanism: v1alpha1.MechanismHung, Since: crd.DeletionTimestamp.Time,
		Title: finding.Textf("%s: its deletion does not end", "%s: 삭제가 끝나지 않습니다", crd.Name),
		Evidence: []finding.Evidence{{
			Source: finding.Named(snapshot.SubjectOf(crd)), Path: ".metadata.deletionTimestamp", Value: crd.DeletionTimestamp.UTC().Format(time.RFC3339), At: finding.Timestamp(crd.DeletionTimestamp.Time),
		}},
	}
	if c := definitionCondition(crd, apiextensionsv1.Terminating); c != nil {
		f.Evidence = append(f.Evidence, conditionEvidence(crd, *c))
	}
	var held []string
	var finalizers []string
	for _, r := range p.CustomResources() {
		if r.Kind.Group == crd.Spec.Group && r.Kind.Kind == crd.Spec.Names.Kind && len(r.Finalizers) > 0 {
			held = append(held, finding.Qualified(r.Subject()))
			finalizers = append(finalizers, r.Finalizers...)
		}
	}
	f.Why = finding.Text{
		EN: "It was deleted, and the API server waits until all of its objects are gone. Nothing of its kind can be made meanwhile.",
		KO: "삭제 요청을 받았고 API server가 객체가 모두 사라지기를 기다립니다. 그동안 이 kind의 객체를 만들 수 없습니다.",
	}
	if len(held) > 0 {
		f.Why = finding.Join(" ", f.Why, finding.Format("Held by finalizers (%s): %s. The controller that would take them off does not run, or was removed first.",
			"finalizer(%s) 때문에 남은 객체: %s. finalizer를 제거할 controller가 실행 중이 아니거나 먼저 삭제된 것입니다.", finding.List(finalizers), finding.List(held)))
	}
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{{
			Text:    finding.Text{EN: "see what is left, with its finalizers; bring their controller back so that it cleans up", KO: "남은 객체와 finalizer를 확인하고, 정리할 controller를 복구합니다"},
			Command: fmt.Sprintf("kubectl get %s -A -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name,FINALIZERS:.metadata.finalizers", crd.Name),
		}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "delete the objects first, then the definition, then the controller", KO: "객체, 정의, controller 순서로 삭제합니다",
		}}},
	}
	return f
}

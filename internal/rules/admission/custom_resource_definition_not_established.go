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
		EN: "A CustomResourceDefinition exists and the API server does not serve its kind: its names clash with another kind's, or it lacks the approval that groups of Kubernetes' own need. " +
			"A schema that is not structural is served and told as info. Left alone: the seconds in which a new definition is being installed, and one that is being deleted (ObjectStuckTerminating).",
		KO: "CustomResourceDefinition이 있지만 API server가 그 kind를 제공하지 않습니다. 이름이 다른 kind와 충돌하거나 Kubernetes 자체 group에 필요한 승인이 없는 경우입니다. " +
			"구조적이지 않은 schema는 제공되므로 info로 알립니다. 새 정의를 설치하는 동안과 삭제 중인 정의(ObjectStuckTerminating)는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*apiextensionsv1.CustomResourceDefinition]()},
	For:      2 * time.Minute,
	Detect:   detectCustomResourceDefinitionNotEstablished,
})

func detectCustomResourceDefinitionNotEstablished(p *rule.Pass) {
	for _, crd := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		switch {
		case crd.DeletionTimestamp != nil:
			// That it goes is meant, and that it does not go is ObjectStuckTerminating.
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

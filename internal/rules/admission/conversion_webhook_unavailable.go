package admission

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ConversionWebhookUnavailable",
	Title: finding.Text{EN: "conversion webhook cannot be called", KO: "conversion webhook을 호출할 수 없습니다"},
	Doc: finding.Text{
		EN: "A CustomResourceDefinition converts its objects between versions through a webhook that cannot be called. Every read or write in another version than the stored one fails: its controllers " +
			"stall, and so does the deletion of namespaces that hold such objects. It is critical where a list failed over it, and a warning while only the configuration shows it. A definition of one " +
			"version never calls its webhook and is left alone.",
		KO: "CustomResourceDefinition이 버전 변환에 쓰는 webhook을 호출할 수 없습니다. 저장된 버전이 아닌 버전으로 읽거나 쓰는 요청이 모두 실패하여 해당 controller가 멈추고, 그런 객체가 있는 namespace도 삭제되지 않습니다. " +
			"실제로 목록 조회가 실패했으면 critical, 설정에서만 확인되면 warning입니다. 버전이 하나뿐이면 webhook을 호출하지 않으므로 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#webhook-conversion",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs: append(backendNeeds(),
		rule.Any[*apiextensionsv1.CustomResourceDefinition](), rule.Optional[*corev1.Namespace]()),
	CustomResources: true,
	For:             time.Minute,
	Causes:          []rule.Cause{{Code: "CertificateExpired", Via: rule.Itself}},
	Detect:          detectConversionWebhookUnavailable,
})

// conversionFailed begins what the API server says about a conversion that failed
// (k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go, Convert).
const conversionFailed = "conversion webhook for "

func detectConversionWebhookUnavailable(p *rule.Pass) {
	failed := map[string]snapshot.Coverage{}
	for _, k := range p.CustomKinds() {
		if c := p.CustomCoverage(k); strings.Contains(c.Reason, conversionFailed) {
			failed[k.GroupResource()] = c
		}
	}
	for _, crd := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		c := crd.Spec.Conversion
		if c == nil || c.Strategy != apiextensionsv1.WebhookConverter || c.Webhook == nil || c.Webhook.ClientConfig == nil || crd.DeletionTimestamp != nil || !converts(crd) {
			continue
		}
		var b backend
		if svc := c.Webhook.ClientConfig.Service; svc != nil {
			b = backendOf(nil, svc.Namespace, svc.Name, svc.Port, c.Webhook.ClientConfig.CABundle)
		} else {
			b = backendOf(c.Webhook.ClientConfig.URL, "", "", nil, c.Webhook.ClientConfig.CABundle)
		}
		coverage, refused := failed[crd.Name]
		f, broken := b.judge(p)
		if !broken && !refused {
			continue
		}
		if !broken {
			f = faultOf(coverage.Reason)
			if b.service.Name != "" {
				f.waitsFor = []finding.Subject{b.service}
			}
		}
		p.Report(unconverted(p, crd, b, f, coverage))
	}
}

// converts tells whether objects can be asked for in another version than they are stored in.
func converts(crd *apiextensionsv1.CustomResourceDefinition) bool {
	versions := map[string]bool{}
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Served || v.Storage {
			versions[v.Name] = true
		}
	}
	for _, v := range crd.Status.StoredVersions {
		versions[v] = true
	}
	return len(versions) > 1
}

func unconverted(p *rule.Pass, crd *apiextensionsv1.CustomResourceDefinition, b backend, f fault, listed snapshot.Coverage) finding.Finding {
	var stored string
	var others []string
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Storage {
			stored = v.Name
		} else if v.Served {
			others = append(others, v.Name)
		}
	}
	out := finding.Finding{
		Subject: snapshot.SubjectOf(crd), Mechanism: f.mechanism, Since: f.since, Confidence: f.confidence, WaitsFor: f.waitsFor,
		Title: finding.Format("%s: its conversion webhook cannot be called: %s", "%s: conversion webhook을 호출할 수 없습니다: %s", finding.Verbatim(crd.Name), f.text),
		Why: finding.Format("Objects are stored as %s; every read or write of them in another version (%s) fails, for nobody converts them. Controllers of %s stall, and restarting them does not help.",
			"객체는 %[1]s 버전으로 저장되며, 다른 버전(%[2]s)으로 읽거나 쓰는 요청은 변환할 수 없어 모두 실패합니다. %[3]s의 controller가 멈추며 다시 시작해도 해결되지 않습니다.",
			finding.Verbatim(stored), finding.List(others), finding.Verbatim(crd.Spec.Names.Kind)),
		Evidence: f.evidence,
	}
	if f.field != "" {
		out.Field = ".spec.conversion.webhook" + f.field
	}
	if listed.Reason != "" {
		out.Severity = finding.Critical
		out.Evidence = append(out.Evidence, finding.Evidence{
			Source: "API server", Path: "list " + crd.Name, Value: finding.Quote(listed.Reason), At: finding.Timestamp(listed.ReadAt),
		})
	}
	for _, ns := range snapshot.List[*corev1.Namespace](p.Snapshot) {
		c, blocked := blockedBy(ns, conversionFailed+crd.Spec.Group+"/")
		if !blocked {
			continue
		}
		out.Severity = finding.Critical
		out.Explains = append(out.Explains, snapshot.SubjectOf(ns))
		out.Evidence = append(out.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(ns)), Path: ".status.conditions[" + string(c.Type) + "]", Value: finding.Quote(c.Message), At: finding.Timestamp(c.LastTransitionTime.Time),
		})
	}
	look := finding.Remedy{
		Text:    finding.Text{EN: "see its Service and the pods behind it, and bring them back", KO: "Service와 그 뒤의 Pod를 확인하고 복구합니다"},
		Command: fmt.Sprintf("kubectl -n %s get service,endpointslices,deployments,pods", b.service.Namespace),
	}
	if b.service.Name == "" {
		look = finding.Remedy{
			Text:    finding.Text{EN: "on a control-plane machine: does it answer", KO: "control plane 머신에서 응답하는지 확인합니다"},
			Command: "curl -kv --max-time 10 https://" + b.address,
		}
	}
	out.Remedies = finding.Remedies{
		Now: []finding.Remedy{look, {
			Text: finding.Text{
				EN: "only if all versions have the same fields: convert without a webhook until then (fields that differ are lost)",
				KO: "모든 버전의 필드가 같을 때만, 복구될 때까지 webhook 없이 변환합니다(서로 다른 필드는 사라집니다)",
			},
			Command: fmt.Sprintf(`kubectl patch crd %s --type=merge -p '{"spec":{"conversion":{"strategy":"None","webhook":null}}}'`, crd.Name),
		}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "migrate stored objects to one version and stop serving the others, so that no webhook is needed",
			KO: "저장된 객체를 한 버전으로 옮기고 나머지 버전의 제공을 중단하여 webhook이 필요 없게 합니다",
		}}},
	}
	return out
}

// blockedBy returns the condition of a Namespace being deleted that quotes the words.
func blockedBy(ns *corev1.Namespace, words string) (corev1.NamespaceCondition, bool) {
	i := slices.IndexFunc(ns.Status.Conditions, func(c corev1.NamespaceCondition) bool {
		return c.Status == corev1.ConditionTrue && strings.Contains(c.Message, words)
	})
	if ns.DeletionTimestamp == nil || i < 0 {
		return corev1.NamespaceCondition{}, false
	}
	return ns.Status.Conditions[i], true
}

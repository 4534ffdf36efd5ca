package diagnosis

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// DocumentKind is the kind of the document that Document makes.
const DocumentKind = "Diagnosis"

// ResilienceKind is the kind of the document that Resilience makes.
const ResilienceKind = "Resilience"

// Resilience renders what the next loss would take as the API's document, in one language.
func (d Diagnosis) Resilience(l finding.Language, stats v1alpha1.Stats) v1alpha1.Resilience {
	whole := d.Document(l, stats)
	doc := v1alpha1.Resilience{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: ResilienceKind},
		Cluster:  whole.Cluster, ObservedAt: whole.ObservedAt, Risks: whole.Risks, Skipped: []v1alpha1.SkippedRule{}, Stats: stats,
	}
	if doc.Risks == nil {
		doc.Risks = []v1alpha1.Risk{}
	}
	for _, skip := range d.RiskSkips {
		doc.Skipped = append(doc.Skipped, v1alpha1.SkippedRule{Code: string(skip.Code), Reason: skip.Reason.In(l)})
	}
	return doc
}

// Document renders the diagnosis as the API's document, in one language. Two documents of one
// snapshot differ in nothing but the stats that are passed in.
func (d Diagnosis) Document(l finding.Language, stats v1alpha1.Stats) v1alpha1.Diagnosis {
	s := d.Snapshot
	api := s.API()
	doc := v1alpha1.Diagnosis{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: DocumentKind},
		Cluster: v1alpha1.Cluster{
			Name: s.Source().Name, Server: api.Server, Version: api.Version,
			Nodes: s.Len(snapshot.KindOf[*corev1.Node]()), Pods: s.Len(snapshot.KindOf[*corev1.Pod]()),
		},
		ObservedAt: metav1.Time{Time: s.Now().UTC()}.Rfc3339Copy(),
		Verdict:    d.Verdict,
		Stats:      stats,
		// A program that reads the document must find a list, not null, where there is nothing.
		Incidents: make([]v1alpha1.IncidentDetails, 0, len(d.Incidents)),
		Findings:  make([]v1alpha1.FindingDetails, 0, len(d.Findings)),
		Skipped:   make([]v1alpha1.SkippedRule, 0, len(d.Skips)),
		Ignored:   []v1alpha1.IgnoredFinding{},
	}
	if !d.Scope.IsZero() {
		doc.Scope = &v1alpha1.Scope{Namespace: d.Scope.Namespace, OtherIncidents: d.Scope.Others}
		if d.Scope.Labels != nil {
			doc.Scope.Selector = d.Scope.Labels.String()
		}
	}
	for _, incident := range d.Incidents {
		doc.Incidents = append(doc.Incidents, incident.Details(l))
	}
	for _, f := range d.Findings {
		doc.Findings = append(doc.Findings, v1alpha1.FindingDetails{
			Code: string(f.Code), Severity: f.Severity, Subject: f.Subject, Text: f.Title.In(l),
			Since: finding.Timestamp(f.Since), Incident: f.Incident, Settling: f.Settling,
		})
	}
	for _, skip := range d.Skips {
		doc.Skipped = append(doc.Skipped, v1alpha1.SkippedRule{Code: string(skip.Code), Reason: skip.Reason.In(l)})
	}
	for _, f := range d.Risks {
		doc.Risks = append(doc.Risks, risk(f, l))
	}
	for _, i := range d.Ignored {
		doc.Ignored = append(doc.Ignored, v1alpha1.IgnoredFinding{
			Code: string(i.Code), Subject: i.Subject, Reason: i.Request.Reason, Until: finding.Timestamp(i.Request.Until), By: i.Request.Source,
		})
	}
	if d.Unanswered > 0 {
		reason := finding.Textf("questions not asked or not answered (ends of logs, connections to kubelets): %d",
			"묻지 못했거나 답을 받지 못한 추가 질문(로그의 끝부분, kubelet 연결 등): %d건", d.Unanswered)
		doc.Skipped = append(doc.Skipped, v1alpha1.SkippedRule{Reason: reason.In(l)})
	}
	for _, f := range d.Failures {
		doc.Errors = append(doc.Errors, v1alpha1.SkippedRule{Code: string(f.Code), Reason: fmt.Sprint(f.Err)})
	}
	return doc
}

// risk renders a finding about what the next loss would take.
func risk(f finding.Finding, l finding.Language) v1alpha1.Risk {
	r := v1alpha1.Risk{
		Code: string(f.Code), Subject: f.Subject, Title: f.Title.In(l), Why: f.Why.In(l), Evidence: f.Evidence,
		Remedies: finding.RemediesIn(f.Remedies.Later, l),
	}
	if len(f.Explains) > 0 {
		r.Affected = map[string][]string{}
		for _, s := range f.Explains {
			r.Affected[s.Kind] = append(r.Affected[s.Kind], finding.Qualified(s))
		}
		for _, names := range r.Affected {
			slices.Sort(names)
		}
	}
	return r
}

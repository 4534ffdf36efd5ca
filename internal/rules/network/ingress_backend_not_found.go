package network

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "IngressBackendNotFound",
	Title: finding.Text{EN: "Ingress leads to a Service or port that does not exist", KO: "Ingress가 없는 Service나 포트를 가리킵니다"},
	Doc: finding.Text{
		EN: "A path of an Ingress leads to a Service that does not exist in its namespace, or to a port that the Service does not have: who asks for that path gets an error (mostly 503). " +
			"Every such path is named. Left alone: backends that are other resources than Services, and actions that an annotation defines (port use-annotation of the AWS load balancer controller).",
		KO: "Ingress의 경로가 같은 namespace에 없는 Service나 Service에 없는 포트를 가리켜, 그 경로의 요청이 오류(대개 503)를 받습니다. 해당 경로를 모두 알립니다. Service가 아닌 backend와, annotation으로 정의한 동작(AWS load balancer controller의 use-annotation 포트)은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/ingress/#the-ingress-resource",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*networkingv1.Ingress](), rule.Whole[*corev1.Service]()},
	For:      time.Minute,
	Detect:   ingressBackendNotFound,
})

func ingressBackendNotFound(p *rule.Pass) {
	for _, in := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		if in.DeletionTimestamp != nil {
			continue
		}
		var why []finding.Text
		var f finding.Finding
		backends := ingressBackends(in)
		told := map[string]bool{}
		for _, b := range backends {
			text, value, found := b.missing(p.Snapshot, in.Namespace)
			if !found {
				continue
			}
			if !told[value] {
				why = append(why, text)
			}
			told[value] = true
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(snapshot.SubjectOf(in)), Path: b.path, Value: finding.Quote(value + " for " + b.route), At: finding.Timestamp(snapshot.SpecWritten(in)),
			})
			if f.Field == "" {
				f.Field = b.path
			}
		}
		if len(f.Evidence) == 0 {
			continue
		}
		f.Subject, f.Mechanism = snapshot.SubjectOf(in), v1alpha1.MechanismMissing
		f.Since = lately(p.Now(), finding.Later(in.CreationTimestamp.Time, snapshot.SpecWritten(in)))
		f.Title = finding.Textf("%s: %d of %d paths lead to a Service or port that does not exist", "%s: 경로 %[3]d개 중 %[2]d개가 없는 Service나 포트를 가리킵니다", finding.Named(f.Subject), len(f.Evidence), len(backends))
		const readable = 3
		f.Why = finding.Join("; ", why[:min(len(why), readable)]...)
		f.Evidence = f.Evidence[:min(len(f.Evidence), readable)]
		f.Remedies.Now = []finding.Remedy{
			{Text: finding.Text{EN: "see which Services and ports there are", KO: "있는 Service와 포트를 확인합니다"}, Command: fmt.Sprintf("kubectl -n %s get services", in.Namespace)},
			{Text: finding.Text{EN: "lead the path to one of them, or make the Service again", KO: "경로를 그중 하나로 바로잡거나 Service를 다시 만듭니다"}, Command: fmt.Sprintf("kubectl -n %s edit ingress %s", in.Namespace, in.Name)},
		}
		p.Report(f)
	}
}

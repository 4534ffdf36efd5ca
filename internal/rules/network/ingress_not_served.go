package network

import (
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "IngressNotServed",
	Title: finding.Text{EN: "no controller serves an Ingress", KO: "Ingress를 처리하는 컨트롤러가 없습니다"},
	Doc: finding.Text{
		EN: "An Ingress has had no address for minutes: it names a class that does not exist, or no class while none is the default, or the controller of its class does not serve it or does not run. " +
			"A class that does not exist is a warning where other Ingresses of the cluster are served; all else is a remark, for some controllers write no address, or serve classes that have no object.",
		KO: "Ingress에 몇 분째 주소가 없습니다. 없는 class를 지정했거나, class를 지정하지 않았는데 기본 class가 없거나, 해당 class의 컨트롤러가 처리하지 않거나 실행되지 않는 경우입니다. " +
			"클러스터의 다른 Ingress가 처리되고 있는데 없는 class를 지정했으면 warning이고, 그 밖에는 참고로 알립니다(주소를 기록하지 않거나 class 객체 없이 동작하는 컨트롤러가 있습니다).",
	},
	Link:     "https://kubernetes.io/docs/concepts/services-networking/ingress/#ingress-class",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*networkingv1.Ingress](), rule.Whole[*networkingv1.IngressClass]()},
	For:      5 * time.Minute,
	Detect:   ingressNotServed,
})

func ingressNotServed(p *rule.Pass) {
	classes := map[string]*networkingv1.IngressClass{}
	for _, c := range snapshot.List[*networkingv1.IngressClass](p.Snapshot) {
		classes[c.Name] = c
	}
	served := map[string]int{}
	anyServed := false
	for _, in := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		if ingressServed(in) {
			served[className(in)]++
			anyServed = true
		}
	}
	for _, in := range snapshot.List[*networkingv1.Ingress](p.Snapshot) {
		if in.DeletionTimestamp != nil || ingressServed(in) {
			continue
		}
		name := className(in)
		subject := snapshot.SubjectOf(in)
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMissing, Severity: finding.Info, Field: ".spec.ingressClassName",
			Since: finding.Later(in.CreationTimestamp.Time, snapshot.SpecWritten(in)),
			Title: finding.Textf("%s: no controller gave it an address", "%s: 컨트롤러가 주소를 할당하지 않았습니다", finding.Named(subject)),
			Evidence: []finding.Evidence{
				{Source: finding.Named(subject), Path: ".status.loadBalancer.ingress", Value: "(none)"},
			},
		}
		remedy := finding.Remedy{
			Text:    finding.Text{EN: "see what was said about it", KO: "Ingress의 이벤트를 확인합니다"},
			Command: fmt.Sprintf("kubectl -n %s describe ingress %s", in.Namespace, in.Name),
		}
		class := classes[name]
		switch {
		case name == "" && len(classes) == 0:
			f.Why = finding.Text{EN: "it names no class, and the cluster has none", KO: "class를 지정하지 않았고 클러스터에 IngressClass가 없습니다"}
		case name == "":
			f.Why = finding.Text{EN: "it names no class: a controller takes it only if its class is the default", KO: "class를 지정하지 않아 기본 class의 컨트롤러만 처리합니다"}
			remedy = setClass(in)
		case class == nil:
			f.Why = finding.Textf("IngressClass %q does not exist", "IngressClass(%q)가 없습니다", name)
			f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(subject), Path: ".spec.ingressClassName", Value: name, At: finding.Timestamp(snapshot.SpecWritten(in))})
			if anyServed && served[name] == 0 {
				f.Severity = finding.Warning
				f.Title = finding.Textf("%s: its IngressClass %q does not exist, no controller serves it", "%s: IngressClass(%q)가 없어 처리하는 컨트롤러가 없습니다", finding.Named(subject), name)
			}
			remedy = setClass(in)
		case served[name] > 0:
			f.Why = finding.Textf("the controller of its class serves other Ingresses: %d", "같은 class의 컨트롤러가 다른 Ingress %d개는 처리하고 있습니다", served[name])
		default:
			f.Why = finding.Textf("no Ingress of class %q has an address: its controller (%s) does not run, or writes none", "class(%q)의 Ingress 중 주소가 있는 것이 없습니다. 컨트롤러(%s)가 실행되지 않거나 주소를 기록하지 않습니다", name, class.Spec.Controller)
		}
		f.Remedies.Now = []finding.Remedy{remedy}
		p.Report(f)
	}
}

// setClass lets an Ingress name a class that exists.
func setClass(in *networkingv1.Ingress) finding.Remedy {
	return finding.Remedy{
		Text:    finding.Text{EN: "see which classes there are (kubectl get ingressclasses), and put one in the place of CLASS", KO: "있는 class를 확인하고(kubectl get ingressclasses) CLASS 자리에 넣습니다"},
		Command: fmt.Sprintf(`kubectl -n %s patch ingress %s --type=merge -p '{"spec":{"ingressClassName":"CLASS"}}'`, in.Namespace, in.Name),
	}
}

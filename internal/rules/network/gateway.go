package network

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// gatewayGroup is the group of the Gateway API, whose definitions clusters install.
const gatewayGroup = "gateway.networking.k8s.io"

var _ = Catalog.Add(rule.Rule{
	Code:  "GatewayNotProgrammed",
	Title: finding.Text{EN: "Gateway does not work", KO: "Gateway가 동작하지 않습니다"},
	Doc: finding.Text{
		EN: "A Gateway or GatewayClass of the Gateway API is not accepted, or a Gateway is not programmed into what carries its traffic: the controller says why (a class that it does not know, parameters, no address, " +
			"listeners that contradict each other), or no controller has taken it. Nothing is served through it, or what it was before. Left alone: what has just been made. A class without a controller that no Gateway waits for is a remark, and so is a Gateway whose Service has had no address for a day.",
		KO: "Gateway API의 Gateway나 GatewayClass가 승인되지 않았거나, Gateway가 실제 트래픽 처리 장비에 반영되지 않은 경우입니다. 컨트롤러가 이유(모르는 class, 파라미터, 주소 부족, 서로 충돌하는 listener)를 알리거나, 맡은 컨트롤러가 없는 경우입니다. " +
			"이 Gateway로는 서비스되지 않거나 이전 설정으로만 동작합니다. 방금 만든 것은 제외하고, 컨트롤러 없는 GatewayClass는 기다리는 Gateway가 없으면, Gateway는 Service에 하루 넘게 주소가 없는 경우이면 참고로 알립니다.",
	},
	Link:            "https://gateway-api.sigs.k8s.io/reference/spec/#gatewaystatus",
	Severity:        finding.Warning,
	Needs:           []rule.Need{rule.Optional[*corev1.Service]()},
	CustomResources: true,
	For:             5 * time.Minute,
	Detect:          gatewayNotProgrammed,
})

func gatewayNotProgrammed(p *rule.Pass) {
	var classes, gateways []finding.Finding
	services := gatewayServices(p.Snapshot)
	for _, r := range p.CustomResources() {
		if r.Kind.Group != gatewayGroup || r.DeletionTimestamp != nil {
			continue
		}
		switch r.Kind.Kind {
		case "GatewayClass":
			if f, bad := unaccepted(r, "Accepted"); bad {
				classes = append(classes, f)
			}
		case "Gateway":
			if f, bad := unaccepted(r, "Accepted", "Programmed"); bad {
				f.WaitsFor = services[types.NamespacedName{Namespace: r.Namespace, Name: r.Name}]
				if len(f.WaitsFor) > 0 && addressless(p.Now(), r) {
					f.Severity = finding.Info
				}
				gateways = append(gateways, f)
			}
		}
	}
	for _, f := range classes {
		if len(gateways) == 0 {
			f.Severity = finding.Info
		}
		p.Report(f)
	}
	for _, f := range gateways {
		// A Gateway that nobody has taken waits for the controller of its class; which that is the
		// snapshot does not keep.
		if len(classes) == 1 && f.Mechanism == v1alpha1.MechanismMissing {
			f.WaitsFor = append(f.WaitsFor, classes[0].Subject)
		}
		p.Report(f)
	}
}

// gatewayLabel marks what a controller makes for a Gateway
// (https://gateway-api.sigs.k8s.io/geps/gep-1762/#resource-attachment).
const gatewayLabel = "gateway.networking.k8s.io/gateway-name"

// gatewayServices are the Services that carry the traffic of Gateways: a Gateway without an address mostly
// waits for theirs.
func gatewayServices(s *snapshot.Snapshot) map[types.NamespacedName][]finding.Subject {
	out := map[types.NamespacedName][]finding.Subject{}
	for _, svc := range snapshot.List[*corev1.Service](s) {
		if name := svc.Labels[gatewayLabel]; name != "" {
			key := types.NamespacedName{Namespace: svc.Namespace, Name: name}
			out[key] = append(out[key], snapshot.SubjectOf(svc))
		}
	}
	return out
}

// addressless tells whether a Gateway lacks nothing but an address, and has for so long that the cluster seems
// to be meant to have none to give (sigs.k8s.io/gateway-api/apis/v1, GatewayReasonAddressNotAssigned).
func addressless(now time.Time, r *snapshot.CustomResource) bool {
	return slices.ContainsFunc(r.Conditions, func(c metav1.Condition) bool {
		return c.Type == "Programmed" && c.Reason == "AddressNotAssigned" &&
			now.Sub(finding.Later(r.CreationTimestamp.Time, c.LastTransitionTime.Time)) >= leftoverAfter
	})
}

// unaccepted is the finding about the first of some conditions of an object that is not true; one that
// is unknown means that no controller has judged it yet.
func unaccepted(r *snapshot.CustomResource, types ...string) (finding.Finding, bool) {
	subject := r.Subject()
	for _, t := range types {
		i := slices.IndexFunc(r.Conditions, func(c metav1.Condition) bool { return c.Type == t })
		if i >= 0 && r.Conditions[i].Status == metav1.ConditionTrue {
			continue
		}
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Since: r.CreationTimestamp.Time,
			Remedies: finding.Remedies{Now: []finding.Remedy{describe(r)}},
		}
		if i < 0 || r.Conditions[i].Status == metav1.ConditionUnknown {
			f.Mechanism = v1alpha1.MechanismMissing
			f.Title = finding.Textf("%s: no controller has taken it", "%s: 맡은 컨트롤러가 없습니다", finding.Named(subject))
			f.Why = finding.Textf("its condition %s is unknown: the controller of its class does not run, or there is none", "%s condition이 Unknown입니다. 해당 class의 컨트롤러가 실행되지 않거나 없습니다", t)
			f.Evidence = []finding.Evidence{{Source: finding.Named(subject), Path: ".status.conditions[" + t + "]", Value: "Unknown"}}
			f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
				Text:    finding.Text{EN: "see which classes there are and which controller serves each", KO: "class별 컨트롤러를 확인합니다"},
				Command: "kubectl get gatewayclasses",
			})
			return f, true
		}
		c := r.Conditions[i]
		// The API's defaults date conditions to 1970, before any controller.
		f.Since = finding.Later(f.Since, c.LastTransitionTime.Time)
		f.Title = finding.Textf("%s: is not %s (%s)", "%s: %s 상태가 아닙니다(%s)", finding.Named(subject), strings.ToLower(t), c.Reason)
		f.Why = finding.Textf("its controller: \"%s\"", "컨트롤러: \"%s\"", finding.Quote(c.Message))
		f.Evidence = []finding.Evidence{{
			Source: finding.Named(subject), Path: ".status.conditions[" + t + "]", Value: finding.Quote(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)),
			At: finding.Timestamp(c.LastTransitionTime.Time),
		}}
		return f, true
	}
	return finding.Finding{}, false
}

func describe(r *snapshot.CustomResource) finding.Remedy {
	command := "kubectl"
	if r.Namespace != "" {
		command += " -n " + r.Namespace
	}
	return finding.Remedy{
		Text:    finding.Text{EN: "see its spec, conditions and events", KO: "spec, condition, 이벤트를 확인합니다"},
		Command: fmt.Sprintf("%s describe %s %s", command, strings.ToLower(r.Kind.Kind)+"."+r.Kind.Group, r.Name),
	}
}

var _ = Catalog.Add(rule.Rule{
	Code:  "RouteNotAccepted",
	Title: finding.Text{EN: "route of the Gateway API is not served", KO: "Gateway API의 route가 동작하지 않습니다"},
	Doc: finding.Text{
		EN: "A route (HTTPRoute, GRPCRoute, TLSRoute, ...) is not accepted by a Gateway that it names, or leads to what does not exist or may not be referred to: the Gateway has no listener for it, its listeners do not " +
			"allow the namespace or the host, a backend is missing, or a ReferenceGrant is. Each parent's own words are told. A route of which no controller says anything has a parent that does not exist or that nobody serves. " +
			"Left alone: routes that have just been made.",
		KO: "route(HTTPRoute, GRPCRoute, TLSRoute 등)를 지정한 Gateway가 승인하지 않았거나, route가 없는 대상이나 참조가 허용되지 않은 대상을 가리키는 경우입니다. 맞는 listener가 없거나, namespace나 호스트가 허용되지 않거나, backend 또는 ReferenceGrant가 없는 경우입니다. " +
			"parent별로 컨트롤러의 설명을 알립니다. 어느 컨트롤러도 상태를 쓰지 않은 route는 parent가 없거나 처리하는 컨트롤러가 없는 것입니다. 방금 만든 route는 제외합니다.",
	},
	Link:            "https://gateway-api.sigs.k8s.io/reference/spec/#routeparentstatus",
	Severity:        finding.Warning,
	CustomResources: true,
	For:             5 * time.Minute,
	Detect:          routeNotAccepted,
})

// routeConditions are what a Gateway says of a route: that it takes it, and that what the route refers
// to is there (sigs.k8s.io/gateway-api/apis/v1, RouteConditionType).
var routeConditions = []string{"Accepted", "ResolvedRefs"}

func routeNotAccepted(p *rule.Pass) {
	for _, r := range p.CustomResources() {
		if r.Kind.Group != gatewayGroup || !strings.HasSuffix(r.Kind.Kind, "Route") || r.DeletionTimestamp != nil {
			continue
		}
		subject := r.Subject()
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismMisconfigured, Since: r.CreationTimestamp.Time, Remedies: finding.Remedies{Now: []finding.Remedy{describe(r)}},
		}
		if len(r.Parents) == 0 {
			f.Mechanism = v1alpha1.MechanismMissing
			f.Title = finding.Textf("%s: no Gateway has taken it", "%s: 어느 Gateway도 맡지 않았습니다", finding.Named(subject))
			f.Why = finding.Text{EN: "no controller wrote a status: its parent does not exist, or no controller serves that", KO: "상태를 쓴 컨트롤러가 없습니다. parent가 없거나 parent를 처리하는 컨트롤러가 없습니다"}
			f.Evidence = []finding.Evidence{{Source: finding.Named(subject), Path: ".status.parents", Value: "(none)"}}
			f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
				Text:    finding.Text{EN: "see which Gateways there are", KO: "Gateway 목록을 확인합니다"},
				Command: "kubectl get gateways -A",
			})
			p.Report(f)
			continue
		}
		var why []finding.Text
		var first string
		for _, parent := range r.Parents {
			for _, c := range parent.Conditions {
				if !slices.Contains(routeConditions, c.Type) || c.Status != metav1.ConditionFalse {
					continue
				}
				if first == "" {
					first = c.Reason
					f.Since = c.LastTransitionTime.Time
				}
				f.Since = finding.Earlier(f.Since, c.LastTransitionTime.Time)
				why = append(why, finding.Textf("%s (%s): \"%s\"", "%s(%s): \"%s\"", finding.Named(parent.Parent), c.Reason, finding.Quote(c.Message)))
				f.Evidence = append(f.Evidence, finding.Evidence{
					Source: finding.Named(subject), Path: fmt.Sprintf(".status.parents[%s].conditions[%s]", parent.Parent.Name, c.Type),
					Value: finding.Quote(fmt.Sprintf("%s %s", c.Status, c.Reason)), At: finding.Timestamp(c.LastTransitionTime.Time),
				})
				f.WaitsFor = append(f.WaitsFor, parent.Parent)
			}
		}
		if len(why) == 0 {
			continue
		}
		const readable = 3
		f.Title = finding.Textf("%s: is not served as it says (%s)", "%s: 설정대로 동작하지 않습니다(%s)", finding.Named(subject), first)
		f.Why = finding.Join("; ", why[:min(len(why), readable)]...)
		f.Evidence = f.Evidence[:min(len(f.Evidence), readable)]
		p.Report(f)
	}
}

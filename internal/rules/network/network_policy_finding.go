package network

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// blockade is a policy and whom it cuts off.
type blockade struct {
	policy  *policy
	victims []victim
}

// soonAfter is how long after a policy was changed trouble may begin and still be put down to it
// without a line that says so: programs look names up again when they reconnect.
const soonAfter = 10 * time.Minute

func (b *blockade) finding(r reach) finding.Finding {
	written := policyWritten(b.policy)
	f := finding.Finding{
		Subject: snapshot.SubjectOf(b.policy.NetworkPolicy), Mechanism: v1alpha1.MechanismMisconfigured, Severity: finding.Info, Since: written,
		Field: ".spec.egress",
		Evidence: []finding.Evidence{{
			Source: finding.Named(snapshot.SubjectOf(b.policy.NetworkPolicy)), Path: ".spec", Value: rules(b.policy), At: finding.Timestamp(written),
		}},
	}
	told := slices.DeleteFunc(slices.Clone(b.victims), func(v victim) bool { return v.call == nil })
	after := slices.DeleteFunc(slices.Clone(b.victims), func(v victim) bool {
		since := snapshot.NotReadySince(v.pod)
		return !v.sick || v.call != nil || since.Before(written.Add(-time.Minute)) || since.Sub(written) > soonAfter
	})
	shown := b.victims
	switch {
	case len(told) > 0:
		f.Severity, shown = finding.Critical, slices.Concat(told, after)
	case len(after) > 0:
		f.Severity, f.Confidence, shown = finding.Warning, v1alpha1.ConfidenceMedium, after
	}
	if r.foreign && f.Severity != finding.Info {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	if len(shown[0].barrier.egress) == 0 {
		f.Field = ".spec.ingress"
	}
	f.Title = b.title(shown, f.Severity)
	f.Why = b.why(r, shown, f.Severity)
	for _, v := range shown[:min(len(shown), 3)] {
		if v.call != nil {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: finding.Named(snapshot.SubjectOf(v.pod)), Path: "log of " + v.container, Value: finding.Quote(v.call.line), At: finding.Timestamp(v.call.at),
			})
		}
	}
	if f.Severity != finding.Info {
		for _, v := range shown {
			f.Explains = append(f.Explains, cutOff(r.Snapshot, v.workload)...)
		}
		slices.SortFunc(f.Explains, finding.CompareSubjects)
		f.Explains = slices.Compact(f.Explains)
		f.RuledOut = ruledOut(shown)
	}
	f.Remedies = b.remedies(shown)
	return f
}

// whom names the workloads that are cut off.
func whom(victims []victim) finding.Text {
	var names []string
	for _, v := range victims {
		names = append(names, finding.Named(v.workload))
	}
	return finding.List(names)
}

// towards names what is out of reach.
func towards(victims []victim) finding.Text {
	var texts []finding.Text
	if slices.ContainsFunc(victims, func(v victim) bool { return v.names }) {
		texts = append(texts, finding.Text{EN: "cluster DNS", KO: "클러스터 DNS"})
	}
	var services []string
	for _, v := range victims {
		if !v.names {
			services = append(services, finding.Named(snapshot.SubjectOf(v.service)))
		}
	}
	if len(services) > 0 {
		texts = append(texts, finding.List(services))
	}
	return finding.Join(", ", texts...)
}

func (b *blockade) title(shown []victim, severity finding.Severity) finding.Text {
	name := finding.Verbatim(finding.Named(snapshot.SubjectOf(b.policy.NetworkPolicy)))
	if severity == finding.Info {
		return finding.Format("%s: leaves %s no way to %s", "%s: %s에서 %s로 가는 통신을 허용하지 않습니다", name, whom(shown), towards(shown))
	}
	return finding.Format("%s: keeps %s from %s", "%s: %s에서 %s로 가는 통신을 차단합니다", name, whom(shown), towards(shown))
}

func (b *blockade) why(r reach, shown []victim, severity finding.Severity) finding.Text {
	v := shown[0]
	way := finding.Textf("%s %d of Pod %s", "Pod %[3]s의 %[1]s %[2]d 포트", v.flow.protocol, v.flow.port, podName(v.flow.to))
	direction := finding.Format("its rules do not let %s out to %s", "정책의 egress 규칙이 %s에서 %s로 나가는 통신을 허용하지 않습니다", finding.Verbatim("Pod "+v.pod.Namespace+"/"+v.pod.Name), way)
	if len(v.barrier.egress) == 0 {
		direction = finding.Format("its rules do not let %s in to %s", "정책의 ingress 규칙이 %s에서 %s로 들어오는 통신을 허용하지 않습니다", finding.Verbatim("Pod "+v.pod.Namespace+"/"+v.pod.Name), way)
	}
	var others finding.Text
	if all := slices.Concat(v.barrier.egress, v.barrier.ingress); len(all) > 1 {
		var names []string
		for _, p := range all {
			if p != b.policy {
				names = append(names, p.Name)
			}
		}
		others = finding.Format("nor do the others that select an end of it (%s)", "같은 Pod를 선택하는 다른 정책(%s)도 허용하지 않습니다", finding.List(names))
	}
	var evidence finding.Text
	switch {
	case v.call != nil:
		evidence = finding.Textf("and its log says: \"%s\"", "해당 Pod의 로그: \"%s\"", finding.Quote(v.call.line))
	case severity == finding.Info:
		evidence = finding.Text{EN: "no log or status tells that they miss it, or that the network plugin enforces policies", KO: "이 통신이 필요하다거나 네트워크 플러그인이 정책을 적용한다는 기록은 없습니다"}
	default:
		evidence = finding.Textf("its trouble began at %s, right after", "바로 뒤인 %s부터 해당 Pod에 문제가 생겼습니다", finding.Clock(r.Now(), snapshot.NotReadySince(v.pod)))
	}
	var changed finding.Text
	if by, at := snapshot.LastManager(b.policy.NetworkPolicy); !at.IsZero() {
		changed = finding.Textf("the policy was last changed at %s by %q", "정책은 %s에 마지막으로 변경되었습니다(%q)", finding.Clock(r.Now(), at), by)
	}
	var foreign finding.Text
	if r.foreign {
		foreign = finding.Text{EN: "policies of other kinds are there too and were not evaluated", KO: "평가 대상이 아닌 다른 종류의 정책도 있습니다"}
	}
	return finding.Join("; ", direction, others, evidence, changed, foreign)
}

func podName(e peer) string {
	if e.pod == nil {
		return "-"
	}
	return e.pod.Namespace + "/" + e.pod.Name
}

// rules tells in a line what a policy selects and allows.
func rules(p *policy) string {
	selector := metav1.FormatLabelSelector(&p.Spec.PodSelector)
	if selector == "<none>" {
		selector = "all pods"
	}
	out := []string{"selects " + selector}
	if p.ingress {
		out = append(out, fmt.Sprintf("ingress rules: %d", len(p.Spec.Ingress)))
	}
	if p.egress {
		out = append(out, fmt.Sprintf("egress rules: %d", len(p.Spec.Egress)))
	}
	return strings.Join(out, "; ")
}

// ruledOut says that what is called is there.
func ruledOut(victims []victim) []finding.Statement {
	var out []finding.Statement
	for _, v := range victims[:1] {
		out = append(out, finding.Statement{
			Text:     finding.Textf("%s itself: a pod behind it is ready", "%s 자체의 장애(뒤의 Pod가 Ready입니다)", finding.Named(snapshot.SubjectOf(v.service))),
			Evidence: []finding.Evidence{readiness(v.flow.to.pod)},
		})
	}
	return out
}

// remedies let the traffic through by one rule more in the policy: policies add up, so that is enough.
func (b *blockade) remedies(shown []victim) finding.Remedies {
	out := finding.Remedies{Later: []finding.Remedy{{Text: finding.Text{
		EN: "where a policy denies by default, let DNS out in the same change, and try it in a namespace of its own before",
		KO: "기본 차단 정책을 적용할 때는 DNS egress 허용을 함께 넣고, 별도 namespace에서 먼저 시험합니다",
	}}}}
	done := map[string]bool{}
	for _, v := range shown {
		command, ok := v.allow(b.policy)
		if !ok || done[command] {
			continue
		}
		done[command] = true
		text := finding.Textf("let %s reach %s", "%s에서 %s로 가는 통신을 허용합니다", finding.Named(v.workload), finding.Named(snapshot.SubjectOf(v.service)))
		if v.names {
			text = finding.Text{EN: "let the pods that it selects reach cluster DNS", KO: "정책이 선택한 Pod에서 클러스터 DNS로 가는 통신을 허용합니다"}
		}
		out.Now = append(out.Now, finding.Remedy{Text: text, Command: command})
	}
	out.Now = append(out.Now, finding.Remedy{
		Text:    finding.Text{EN: "see what the policy allows", KO: "정책이 허용하는 통신을 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe networkpolicy %s", b.policy.Namespace, b.policy.Name),
	})
	return out
}

// allow is the command that adds a rule for the victim's flow to a policy; false where the policy
// denies in another direction than the first that is to be opened.
func (v victim) allow(p *policy) (string, bool) {
	port := intstr.FromInt32(v.flow.port)
	ports := []networkingv1.NetworkPolicyPort{{Protocol: new(v.flow.protocol), Port: &port}}
	if v.names {
		ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: &port})
	}
	var path string
	var present int
	var rule any
	switch {
	case slices.Contains(v.barrier.egress, p):
		path, present = "/spec/egress", len(p.Spec.Egress)
		rule = networkingv1.NetworkPolicyEgressRule{Ports: ports, To: []networkingv1.NetworkPolicyPeer{peerFor(p, v.flow.to.pod, v.service.Spec.Selector)}}
	case slices.Contains(v.barrier.ingress, p):
		path, present = "/spec/ingress", len(p.Spec.Ingress)
		rule = networkingv1.NetworkPolicyIngressRule{Ports: ports, From: []networkingv1.NetworkPolicyPeer{peerFor(p, v.pod, stableLabels(v.pod.Labels))}}
	default:
		return "", false
	}
	var value any = rule
	if present > 0 {
		path += "/-"
	} else {
		value = []any{rule}
	}
	patch, err := json.Marshal([]map[string]any{{"op": "add", "path": path, "value": value}})
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("kubectl -n %s patch networkpolicy %s --type=json -p '%s'", p.Namespace, p.Name, patch), true
}

// peerFor means pods with labels in a rule of a policy.
func peerFor(p *policy, pod *corev1.Pod, set map[string]string) networkingv1.NetworkPolicyPeer {
	out := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: set}}
	if pod.Namespace != p.Namespace {
		out.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: pod.Namespace}}
	}
	return out
}

// stableLabels are the labels of a pod that its successors will have too.
func stableLabels(in map[string]string) map[string]string {
	out := maps.Clone(in)
	for _, k := range []string{"pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "pod-template-generation"} {
		delete(out, k)
	}
	return out
}

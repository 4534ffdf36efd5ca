package admission

import (
	"fmt"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "WebhookUnavailable",
	Title: finding.Text{EN: "admission webhook cannot be called", KO: "admission webhook을 호출할 수 없습니다"},
	Doc: finding.Text{
		EN: "The API server cannot call an admission webhook: its Service is gone or has no ready endpoint, nobody listens, the certificate does not fit the caBundle, or no answer comes in time. With " +
			"failurePolicy Fail every write that its rules name is refused. Running pods go on, and none can be made anew; where the rules name Leases or the status of nodes, kubelets and the control " +
			"plane lose their Leases and seem dead. It is critical while something is refused, and a warning while only the next write would be. A webhook that matches its own pods cannot come back by " +
			"itself. With failurePolicy Ignore nothing is refused, and the policy is not enforced: info. A webhook that answers and denies is left alone, and so is one whose rules name nothing that exists.",
		KO: "API server가 admission webhook을 호출하지 못합니다. Service가 없거나 준비된 endpoint가 없는 경우, 연결이 거부되는 경우, 인증서가 caBundle과 맞지 않는 경우, 제한 시간 안에 응답이 없는 경우입니다. " +
			"failurePolicy가 Fail이면 규칙에 해당하는 모든 쓰기가 거부됩니다. 실행 중인 Pod는 계속 동작하지만 새로 만들 수 없으며, 규칙에 Lease나 노드 status가 포함되면 kubelet과 control plane이 Lease를 잃어 죽은 것처럼 보입니다. " +
			"거부된 것이 있으면 critical, 다음 쓰기부터 거부될 상태이면 warning입니다. 자신의 Pod까지 검사하는 webhook은 스스로 복구되지 못합니다. failurePolicy가 Ignore이면 거부되지 않지만 정책이 적용되지 않으므로 info입니다. " +
			"응답하여 거부하는 webhook과, 규칙의 대상이 존재하지 않는 webhook은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#failure-policy",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs: slices.Concat(rule.Creations(), backendNeeds(), []rule.Need{
		rule.Any[*admissionregistrationv1.ValidatingWebhookConfiguration](), rule.Any[*admissionregistrationv1.MutatingWebhookConfiguration](),
		rule.Optional[*corev1.Namespace](), rule.Optional[*corev1.Node](), rule.Optional[*apiextensionsv1.CustomResourceDefinition](),
	}),
	For: settles,
	Causes: []rule.Cause{
		{Code: "CertificateExpired", Via: rule.Itself},
		{Code: "NamespaceDeleted", Via: rule.Claimed},
		{Code: "WorkloadScaledToZero", Via: rule.Claimed},
	},
	Detect: detectWebhookUnavailable,
})

// settles is how long an installation or a rolling update may take to bring up who answers.
const settles = time.Minute

// installs is how long after a configuration was made its pods may take to come up while it refuses nothing:
// their images are pulled first.
const installs = 5 * time.Minute

// outage is one backend that cannot be called, and the webhooks that call it.
type outage struct {
	fault

	webhooks []webhook
	refused  []refusal
	// stopped are the Leases that cannot be renewed, and the Nodes whose Leases they are.
	stopped []finding.Subject
	// stoppedSince is when the first of them was renewed last.
	stoppedSince time.Time
}

func detectWebhookUnavailable(p *rule.Pass) {
	all := webhooks(p)
	if len(all) == 0 {
		return
	}
	refused := refusals(p)
	tryLease(p, all, refused)
	groups := map[string]bool{"*": !p.Coverage(snapshot.KindOf[*apiextensionsv1.CustomResourceDefinition]()).Known()}
	for _, crd := range snapshot.List[*apiextensionsv1.CustomResourceDefinition](p.Snapshot) {
		groups[crd.Spec.Group] = true
	}
	var outages []*outage
	at := map[string]*outage{}
	blind := !p.Coverage(snapshot.KindOf[*corev1.Service]()).Known()
	for _, w := range all {
		key := fmt.Sprintf("%t %s", w.ignores, w.backend.key())
		o, ok := at[key]
		if !ok {
			f, broken := w.fault(p, w.refusals(refused))
			if !broken || !w.served(groups) {
				continue
			}
			o = &outage{fault: f}
			at[key] = o
			outages = append(outages, o)
		}
		o.webhooks = append(o.webhooks, w)
		if !w.ignores {
			o.refused = append(o.refused, w.refusals(refused)...)
			o.stop(p, w)
		}
	}
	if blind {
		p.Skip(finding.Text{
			EN: "Services could not be read whole: a webhook whose Service is gone shows only by what it refuses",
			KO: "Service를 모두 읽지 못했습니다. Service가 없는 webhook은 거부된 것이 있을 때만 알 수 있습니다",
		})
	}
	said := map[finding.Subject]bool{}
	for _, o := range outages {
		f := o.finding(p)
		if said[f.Subject] {
			continue // A configuration of several webhooks with several backends: the first says enough.
		}
		said[f.Subject] = true
		p.Report(f)
	}
}

// fault is what is wrong with the webhook: what objects show, else what the API server said when it
// last called it. Words that speak of a Service that is there by now are of the past.
func (w webhook) fault(p *rule.Pass, refused []refusal) (fault, bool) {
	if f, broken := w.backend.judge(p); broken {
		return f, true
	}
	for _, r := range refused {
		f := faultOf(r.message)
		if !r.lasting || w.backend.service.Name != "" && !w.backend.blind(p) && (f.field == ".clientConfig.service" || strings.Contains(r.message, "no endpoints available")) {
			continue
		}
		f.since = r.since
		f.confidence = ""
		if w.backend.service.Name != "" {
			f.waitsFor = []finding.Subject{w.backend.service}
		}
		return f, true
	}
	return fault{}, false
}

// blind tells that objects cannot say whether the backend is there.
func (b backend) blind(p *rule.Pass) bool {
	return !p.Coverage(snapshot.KindOf[*corev1.Service]()).Known()
}

// stop collects the Leases that a webhook keeps from being renewed, and the Nodes whose Leases they
// are. One Lease within its reach that is renewed proves that it stops none.
func (o *outage) stop(p *rule.Pass, w webhook) {
	if w.choosy() || !w.catches(leases, admissionregistrationv1.Update) {
		return
	}
	var caught []snapshot.Writer
	if w.reaches(p.Snapshot, metav1.NamespaceSystem) {
		caught = append(caught, snapshot.ControllerManager, snapshot.Scheduler)
	}
	if w.reaches(p.Snapshot, corev1.NamespaceNodeLease) {
		for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
			caught = append(caught, snapshot.KubeletOn(n.Name))
		}
	}
	var stopped []finding.Subject
	var since time.Time
	for _, writer := range caught {
		f := p.Writer(writer)
		switch f.State {
		case snapshot.Alive:
			return
		case snapshot.LivenessUnknown:
			continue
		case snapshot.Dead:
		}
		since = finding.Earlier(since, f.LastSeen)
		stopped = append(stopped, finding.Subject{Kind: "Lease", Namespace: writer.Namespace, Name: writer.Name})
		if writer.Namespace == corev1.NamespaceNodeLease {
			stopped = append(stopped, finding.Subject{Kind: "Node", Name: writer.Name})
		}
	}
	o.stopped = append(o.stopped, stopped...)
	o.stoppedSince = finding.Earlier(o.stoppedSince, since)
}

// deadlock tells whether the webhook's own pods are among those that it keeps from being made.
func (w webhook) deadlock(p *rule.Pass) bool {
	return w.backend.service.Name != "" && !w.ignores && !w.choosy() && w.catches(pods, admissionregistrationv1.Create) && w.reaches(p.Snapshot, w.backend.service.Namespace)
}

func (o *outage) finding(p *rule.Pass) finding.Finding {
	w := o.webhooks[0]
	f := finding.Finding{
		Subject: w.config, Mechanism: o.mechanism, Since: o.since, Confidence: o.confidence, WaitsFor: o.waitsFor,
		Title: finding.Format("%s: webhook %s cannot be called: %s", "%s: webhook(%s)을 호출할 수 없습니다: %s",
			finding.Verbatim(w.config.Name), finding.Verbatim(w.name), o.text),
		Evidence: append(o.evidence, finding.Evidence{
			Source: finding.Named(w.config), Path: fmt.Sprintf(".webhooks[%d].failurePolicy", w.index), Value: w.policy(),
		}),
	}
	if made := w.object.GetCreationTimestamp(); f.Since.IsZero() && p.Now().Sub(made.Time) < settles {
		f.Since = made.Time // What it belongs to is being installed.
	}
	if len(o.refused)+len(o.stopped) == 0 && o.mechanism == v1alpha1.MechanismStopped && p.Now().Sub(w.object.GetCreationTimestamp().Time) < installs {
		f.Settling = true
	}
	if o.field != "" {
		f.Field = fmt.Sprintf(".webhooks[%d]%s", w.index, o.field)
	}
	switch {
	case len(o.refused)+len(o.stopped) > 0:
		f.Severity = finding.Critical
	case w.ignores:
		f.Severity = finding.Info
	}
	for _, r := range o.refused {
		f.Since = finding.Earlier(f.Since, r.since)
		f.Explains = append(f.Explains, r.subjects...)
	}
	const readable = 2
	for _, r := range o.refused[:min(len(o.refused), readable)] {
		f.Evidence = append(f.Evidence, r.evidence)
	}
	f.Since = finding.Earlier(f.Since, o.stoppedSince)
	f.Explains = append(f.Explains, o.stopped...)
	for _, other := range o.webhooks[1:] {
		if other.config != w.config {
			f.Explains = append(f.Explains, other.config)
		}
	}
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	f.Why = finding.Join(" ", o.scope(p), o.harm(), o.blocked(p))
	if len(o.refused) > 0 && len(o.evidence) == 0 && w.backend.service.Name != "" && !w.backend.blind(p) {
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf("pods behind %s: it has ready endpoints", "%s 뒤의 Pod: 준비된 endpoint가 있습니다", finding.Named(w.backend.service))})
	}
	f.Remedies = o.remedies(p)
	return f
}

func (w webhook) policy() string {
	if w.ignores {
		return string(admissionregistrationv1.Ignore)
	}
	return string(admissionregistrationv1.Fail)
}

// scope says what the webhook is asked about, and by whom it was last changed.
func (o *outage) scope(p *rule.Pass) finding.Text {
	w := o.webhooks[0]
	var where finding.Text
	if names, all := w.namespacesOf(p.Snapshot); all {
		where = finding.Text{EN: "every namespace", KO: "모든 namespace"}
	} else {
		listed := finding.List(names)
		where = finding.Format("namespaces %s", "namespace(%s)", listed)
	}
	text := finding.Format("The API server asks it about writes of %s in %s.", "API server는 %[2]s의 %[1]s 쓰기마다 이 webhook을 호출합니다.", w.caught(), where)
	if n := len(o.webhooks) - 1; n > 0 {
		text = finding.Join(" ", text, finding.Textf("Other webhooks that call the same place: %d.", "같은 곳을 호출하는 다른 webhook: %d개.", n))
	}
	if manager, at := snapshot.LastManager(w.object); !at.IsZero() {
		text = finding.Join(" ", text, finding.Textf("Its configuration was last changed at %s by %q.", "설정의 마지막 변경은 %s, 변경 주체는 %q입니다.", finding.Clock(p.Now(), at), manager))
	}
	return text
}

// harm says what is refused because of it, now or next.
func (o *outage) harm() finding.Text {
	w := o.webhooks[0]
	if w.ignores {
		return finding.Text{
			EN: "With failurePolicy Ignore what it cannot check passes: nothing is refused, and what it enforces or adds is not enforced or added.",
			KO: "failurePolicy가 Ignore이므로 검사하지 못한 요청이 그대로 통과합니다. 거부되는 것은 없지만 정책이 적용되지 않습니다.",
		}
	}
	var parts []finding.Text
	if len(o.refused) > 0 {
		var names []string
		for _, r := range o.refused {
			names = append(names, finding.Qualified(r.subjects[len(r.subjects)-1]))
		}
		parts = append(parts, finding.Format("failurePolicy Fail refuses what it cannot show to it: refused so far for %s.",
			"failurePolicy가 Fail이므로 검사하지 못한 쓰기가 거부됩니다. 지금까지 거부된 대상: %s.", finding.List(names)))
	}
	if len(o.stopped) > 0 {
		var names []string
		for _, s := range o.stopped {
			if s.Kind == "Lease" {
				names = append(names, finding.Qualified(s))
			}
		}
		parts = append(parts, finding.Format("Its rules catch what kubelets and the control plane write, and these Leases have run out, for nobody can renew them: %s. Their holders give up or seem dead.",
			"규칙이 kubelet과 control plane의 쓰기까지 검사하며 다음 Lease가 갱신되지 못해 만료되었습니다: %s. 그 결과 프로세스가 종료되거나 죽은 것처럼 보입니다.", finding.List(names)))
	}
	if len(parts) == 0 {
		next := finding.Text{EN: "Nothing was refused yet; the next such write will be.", KO: "아직 거부된 것은 없지만 다음 쓰기부터 거부됩니다."}
		if w.catches(pods, admissionregistrationv1.Create) {
			next = finding.Text{
				EN: "Nothing was refused yet. Running pods go on, and the next pod that must be made anew (a restart, a rollout, a lost node) will be refused.",
				KO: "아직 거부된 것은 없습니다. 실행 중인 Pod는 계속 동작하지만, 다음에 새로 만들어야 하는 Pod(재시작, rollout, 노드 장애)부터 거부됩니다.",
			}
		}
		parts = append(parts, next)
	}
	return finding.Join(" ", parts...)
}

// blocked says that the webhook stands in its own way.
func (o *outage) blocked(p *rule.Pass) finding.Text {
	if o.mechanism != v1alpha1.MechanismStopped && o.mechanism != v1alpha1.MechanismMissing && o.mechanism != v1alpha1.MechanismRefused {
		return finding.Text{} // Its pods run.
	}
	if i := slices.IndexFunc(o.webhooks, func(w webhook) bool { return w.deadlock(p) }); i >= 0 {
		return finding.Textf("It also catches pods of its own namespace %s: its own pods cannot be made while it does not answer, so it does not come back by itself.",
			"자신의 namespace(%s)에 있는 Pod까지 검사하므로, 응답하지 않는 동안에는 자신의 Pod도 만들 수 없어 스스로 복구되지 못합니다.", o.webhooks[i].backend.service.Namespace)
	}
	return finding.Text{}
}

func (o *outage) remedies(p *rule.Pass) finding.Remedies {
	w := o.webhooks[0]
	kind := strings.ToLower(w.config.Kind)
	var out finding.Remedies
	service := w.backend.service
	switch {
	case o.field == ".clientConfig.caBundle":
		out.Now = append(out.Now, finding.Remedy{
			Text: finding.Text{
				EN: "see which CA the configuration trusts; put the one that signs the server's certificate there (with cert-manager its cainjector does)",
				KO: "설정이 신뢰하는 CA를 확인하고, 서버 인증서를 서명한 CA로 바꿉니다(cert-manager를 쓰면 cainjector가 갱신합니다)",
			},
			Command: fmt.Sprintf("kubectl get %s %s -o jsonpath='{.webhooks[%d].clientConfig.caBundle}' | base64 -d | openssl x509 -noout -subject -issuer -enddate", kind, w.config.Name, w.index),
		})
	case service.Name != "":
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "see its Service and the pods behind it, and bring them back", KO: "Service와 그 뒤의 Pod를 확인하고 복구합니다"},
			Command: fmt.Sprintf("kubectl -n %s get service,endpointslices,deployments,pods", service.Namespace),
		})
	default:
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "on a control-plane machine: does it answer", KO: "control plane 머신에서 응답하는지 확인합니다"},
			Command: "curl -kv --max-time 10 https://" + w.backend.address,
		})
	}
	if !w.ignores {
		out.Now = append(out.Now, finding.Remedy{
			Text: finding.Text{
				EN: "if that takes long: let writes pass unchecked until then (what it enforces is not enforced meanwhile)",
				KO: "복구에 오래 걸리면 그때까지 검사 없이 통과시킵니다(그동안 정책이 적용되지 않습니다)",
			},
			Command: fmt.Sprintf(`kubectl patch %s %s --type=json -p '[{"op":"replace","path":"/webhooks/%d/failurePolicy","value":"Ignore"}]'`, kind, w.config.Name, w.index),
		})
	}
	if p.Snapshot.Coverage(snapshot.KindOf[*corev1.Service]()).Known() && o.field == ".clientConfig.service" {
		out.Now = append(out.Now, finding.Remedy{
			Text:    finding.Text{EN: "if what it belonged to was removed for good: keep a copy and delete the configuration", KO: "더 이상 사용하지 않는 구성 요소의 것이라면 사본을 남기고 삭제합니다"},
			Command: fmt.Sprintf("kubectl get %s %s -o yaml > %[2]s.yaml && kubectl delete %[1]s %[2]s", kind, w.config.Name),
		})
	}
	out.Later = []finding.Remedy{{Text: finding.Textf("let its namespaceSelector leave out %s and its own namespace, name only the resources that it needs (never Leases), and run two replicas with a PodDisruptionBudget",
		"namespaceSelector에서 %s과 자신의 namespace를 제외하고, 꼭 필요한 리소스만 지정하며(Lease는 제외), replica를 2개 이상 두고 PodDisruptionBudget을 설정합니다", metav1.NamespaceSystem)}}
	return out
}

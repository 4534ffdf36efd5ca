package admission

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ServiceAccountMissing",
	Title: finding.Text{EN: "ServiceAccount does not exist", KO: "ServiceAccount가 없습니다"},
	Doc: finding.Text{
		EN: "Pods are to run as a ServiceAccount that does not exist, so the API server refuses to create them: it was deleted, never created, or " +
			"misspelt. The one named default is made by the controller manager in every namespace, so where that is dead it is the cause. " +
			"Left alone: refusals that were overcome, and a namespace so young that its default account is just being made.",
		KO: "Pod가 사용할 ServiceAccount가 없어 API server가 생성을 거부합니다. 삭제되었거나, 만들어지지 않았거나, 이름이 틀린 경우입니다. " +
			"이름이 default인 ServiceAccount는 controller manager가 namespace마다 만들므로 controller manager가 멈췄다면 그것이 원인입니다. " +
			"이미 해소된 거부와, 방금 만들어져 default ServiceAccount가 생성되는 중인 namespace는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Optional[*corev1.ServiceAccount](), rule.Optional[*corev1.Pod](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Creations(), rule.Owners()),
	For:    refusedFor,
	Causes: []rule.Cause{{Code: "ControllerManagerDown", Via: rule.Cluster, Holds: madeByControllerManager}},
	Detect: serviceAccountMissing,
})

// noServiceAccount is how the ServiceAccount plugin refuses
// (k8s.io/kubernetes/plugin/pkg/admission/serviceaccount/admission.go, Admit).
var noServiceAccount = regexp.MustCompile(`error looking up service account ([^/\s]+)/([^:\s]+): .*not found`)

// madeByControllerManager tells whether an account is the one that the controller manager makes
// (k8s.io/kubernetes/pkg/controller/serviceaccount, DefaultServiceAccountsControllerOptions).
func madeByControllerManager(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return effect.Subject.Name == "default"
}

func serviceAccountMissing(p *rule.Pass) {
	for _, r := range podRefusalsBy(p.CreateFailures(), func(f snapshot.CreateFailure) (finding.Subject, bool) {
		m := noServiceAccount.FindStringSubmatch(f.Message)
		if m == nil || f.Evidence.At != nil && strings.HasPrefix(f.Evidence.Source, "Event ") && p.Now().Sub(f.Evidence.At.Time) > retried {
			return finding.Subject{}, false
		}
		return finding.Subject{Kind: "ServiceAccount", Namespace: m[1], Name: m[2]}, true
	}) {
		p.Report(accountRefused(p, r))
	}
}

func accountRefused(p *rule.Pass, r podRefusal) finding.Finding {
	ns, name := r.subject.Namespace, r.subject.Name
	f := finding.Finding{
		Subject: r.subject, Mechanism: v1alpha1.MechanismMissing, Since: r.since(), Explains: r.harmed(), Evidence: r.evidence(),
		Field: ".spec.template.spec.serviceAccountName",
		Title: finding.Join(", ", finding.Textf("%s does not exist", "%s 없음", finding.Named(r.subject)),
			finding.Format("%s cannot create pods", "%s: Pod를 만들지 못합니다", r.workloads())),
	}
	var there, elsewhere, rest finding.Text
	known := p.Coverage(snapshot.KindOf[*corev1.ServiceAccount]()).Known()
	if _, ok := snapshot.Get[*corev1.ServiceAccount](p.Snapshot, ns, name); ok {
		there = finding.Join("; ", finding.Text{EN: "it exists by now", KO: "지금은 존재합니다"}, triedAgain)
	} else if known {
		var here, far []string
		for _, a := range snapshot.List[*corev1.ServiceAccount](p.Snapshot) {
			if a.Namespace == ns {
				here = append(here, a.Name)
			} else if a.Name == name && name != "default" {
				far = append(far, a.Namespace)
			}
		}
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "ServiceAccounts in namespace " + ns, Path: ".metadata.name", Value: fmt.Sprintf("%d there, none named %s", len(here), name),
			At: finding.Timestamp(p.Coverage(snapshot.KindOf[*corev1.ServiceAccount]()).ReadAt),
		})
		if len(far) > 0 {
			elsewhere = finding.Format("one of that name is in namespace %s", "같은 이름이 다른 namespace에 있습니다: %s", finding.List(far))
		}
	}
	var running []string
	for _, w := range r.harmed() {
		for _, pod := range p.PodsOf(w) {
			if pod.Status.Phase == corev1.PodRunning {
				running = append(running, pod.Name)
			}
		}
	}
	if len(running) > 0 && there.IsZero() {
		rest = finding.Format("still running as it, with tokens that the API server does not accept any more: %s", "아직 이 계정으로 실행 중인 %s의 token은 API server가 더 이상 받아들이지 않습니다", finding.Pods(len(running)))
	}
	f.Why = finding.Join("; ", finding.Format("%s is to run as it", "%s가 사용하는 계정입니다", r.workloads()), there, elsewhere, rest)
	if name == "default" {
		f.Remedies.Now = []finding.Remedy{{
			Text:    finding.Text{EN: "the controller manager makes it: see whether that runs", KO: "controller manager가 만드는 ServiceAccount입니다. controller manager가 동작하는지 확인합니다"},
			Command: "kubectl -n kube-system get lease kube-controller-manager",
		}}
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text: finding.Text{
			EN: "create it, and then the RoleBindings that gave it its rights, from where they are kept",
			KO: "원본에서 ServiceAccount를 다시 만들고 권한을 주던 RoleBinding도 확인합니다",
		},
		Command: fmt.Sprintf("kubectl -n %s create serviceaccount %s; kubectl -n %[1]s get rolebindings -o wide", ns, name),
	})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "apply a ServiceAccount together with the workload that runs as it",
		KO: "ServiceAccount를 이를 사용하는 workload와 함께 배포합니다",
	}}}
	return f
}

package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "AccessDenied",
	Title: finding.Text{EN: "ServiceAccount lacks a right that its pods need", KO: "Pod에 필요한 권한이 ServiceAccount에 없습니다"},
	Doc: finding.Text{
		EN: "A container that crashes, waits or is not ready says in its log that the API server refuses its ServiceAccount something, and the API server " +
			"confirms it: a RoleBinding or Role was deleted, never made, or grants too little. Which bindings name the account, and which of them refer to " +
			"a role that does not exist, is told as far as it may be read. Left alone: containers that are well whatever their log says, and rights " +
			"that the account has by now.",
		KO: "비정상 종료되거나 대기 중이거나 Ready가 아닌 컨테이너의 로그에 API server가 ServiceAccount의 요청을 거부했다고 나오며, API server에 물어본 결과도 같습니다. " +
			"RoleBinding이나 Role이 삭제되었거나, 만들어지지 않았거나, 권한이 부족한 경우입니다. 이 계정을 지정한 binding과, 존재하지 않는 role을 참조하는 binding을 읽을 수 있는 만큼 알립니다. " +
			"로그와 상관없이 정상인 컨테이너와 지금은 갖고 있는 권한은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/reference/access-authn-authz/rbac/",
	Severity: finding.Warning,
	Needs: slices.Concat([]rule.Need{
		rule.Any[*corev1.Pod](), rule.Optional[*corev1.ServiceAccount](), rule.Optional[*rbacv1.RoleBinding](), rule.Optional[*rbacv1.ClusterRoleBinding](),
		rule.Optional[*rbacv1.Role](), rule.Optional[*rbacv1.ClusterRole](),
	}, rule.Owners()),
	For:    time.Minute,
	Detect: accessDenied,
})

const (
	// endingAsked and idleAsked bound how many logs the rule asks for, one of each workload and container:
	// those of containers that end are asked for by others too, and cost nothing then.
	endingAsked = 12
	idleAsked   = 4
	// accessPatience is how long a running container must not have been ready for its log to be asked for.
	accessPatience = 2 * time.Minute
)

// complaint is what one pod says that it may not do.
type complaint struct {
	pod   *corev1.Pod
	right right
	since time.Time
	// confirmed tells that the API server says the same now.
	confirmed bool
	evidence  []finding.Evidence
}

func accessDenied(p *rule.Pass) {
	found := map[finding.Subject][]complaint{}
	for _, q := range troubledContainers(p) {
		answer, ok := p.Ask(q.question())
		if !ok || answer.Outcome != snapshot.Answered {
			continue
		}
		for _, r := range rightsRefused(answer.Text) {
			confirmed, evidence, denied := stillDenied(p, r)
			if !denied {
				continue
			}
			c := complaint{pod: q.pod, right: r, since: q.since, confirmed: confirmed}
			c.evidence = append([]finding.Evidence{{
				Source: finding.Named(snapshot.SubjectOf(q.pod)), Path: "log of " + q.container, Value: finding.Quote(r.line), At: finding.Timestamp(answer.At),
			}}, evidence...)
			account := finding.Subject{Kind: "ServiceAccount", Namespace: r.accountNamespace, Name: r.account}
			found[account] = append(found[account], c)
		}
	}
	for _, account := range slices.SortedFunc(maps.Keys(found), finding.CompareSubjects) {
		p.Report(deniedAccount(p, account, found[account]))
	}
}

// stillDenied asks the API server whether a right is refused now. Without an answer the log is believed.
func stillDenied(p *rule.Pass, r right) (confirmed bool, evidence []finding.Evidence, denied bool) {
	a, ok := p.Ask(snapshot.Question{
		Kind: snapshot.AccessReview, Namespace: r.namespace, Name: r.name, Group: r.group, Resource: r.resource, Verb: r.verb,
		User: "system:serviceaccount:" + r.accountNamespace + ":" + r.account,
	})
	if !ok || a.Outcome != snapshot.Answered {
		return false, nil, true
	}
	return true, []finding.Evidence{{Source: "SubjectAccessReview", Path: r.words(), Value: a.Text, At: finding.Timestamp(a.At)}}, a.Text == "denied"
}

// troubledContainer is a container whose log may tell what it lacks.
type troubledContainer struct {
	pod       *corev1.Pod
	container string
	previous  bool
	since     time.Time
}

func (t troubledContainer) question() snapshot.Question {
	return snapshot.Question{Kind: snapshot.ContainerLog, Namespace: t.pod.Namespace, Name: t.pod.Name, Container: t.container, Previous: t.previous}
}

// troubledContainers returns one container of each workload and name that keeps ending or does not get
// ready, those that end first.
func troubledContainers(p *rule.Pass) []troubledContainer {
	type key struct {
		workload  finding.Subject
		container string
	}
	seen := map[key]bool{}
	var ending, idle []troubledContainer
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || snapshot.PodReady(pod) || pod.Spec.AutomountServiceAccountToken != nil && !*pod.Spec.AutomountServiceAccountToken {
			continue
		}
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			k := key{p.Workload(pod), c.Name}
			t := troubledContainer{pod: pod, container: c.Name}
			if seen[k] {
				continue
			}
			switch last := c.LastTerminationState.Terminated; {
			case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
				t.since = c.State.Terminated.StartedAt.Time
				ending = append(ending, t)
			case last != nil && last.ExitCode != 0 && (c.State.Waiting != nil || !c.Ready):
				t.previous, t.since = true, last.StartedAt.Time
				ending = append(ending, t)
			case c.State.Running != nil && !c.Ready && p.Now().Sub(c.State.Running.StartedAt.Time) > accessPatience && !p.PodStarting(pod):
				t.since = c.State.Running.StartedAt.Time
				idle = append(idle, t)
			default:
				continue
			}
			seen[k] = true
		}
	}
	return append(ending[:min(len(ending), endingAsked)], idle[:min(len(idle), idleAsked)]...)
}

func deniedAccount(p *rule.Pass, account finding.Subject, complaints []complaint) finding.Finding {
	f := finding.Finding{Subject: account, Mechanism: v1alpha1.MechanismUnauthorized}
	var rights, workloads []string
	confirmed := true
	for _, c := range complaints {
		rights = append(rights, c.right.words())
		workloads = append(workloads, finding.Named(p.Workload(c.pod)))
		confirmed = confirmed && c.confirmed
		f.Since = finding.Earlier(f.Since, c.since)
		f.Explains = append(f.Explains, snapshot.SubjectOf(c.pod), p.Workload(c.pod))
		for _, other := range p.PodsOf(p.Workload(c.pod)) {
			if !snapshot.PodReady(other) && !snapshot.PodDone(other) && accountOf(other) == account.Name {
				f.Explains = append(f.Explains, snapshot.SubjectOf(other))
			}
		}
	}
	f.Evidence = complaints[0].evidence
	slices.SortFunc(f.Explains, finding.CompareSubjects)
	f.Explains = slices.Compact(f.Explains)
	f.Title = finding.Format("%s may not %s, which %s needs", "%[1]s: 권한 없음(%[2]s), %[3]s에 필요합니다",
		finding.Verbatim(finding.Named(account)), finding.List(rights), finding.List(workloads))
	first := complaints[0].right
	asked := finding.Text{EN: "the API server, asked now, denies it too", KO: "지금 API server에 물어도 거부됩니다"}
	if !confirmed {
		asked = finding.Text{EN: "the log says so; whether the API server denies it now could not be asked", KO: "로그에 나온 내용이며, 지금도 거부되는지는 확인하지 못했습니다"}
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	grants := grantsOf(p, account)
	f.Evidence = append(f.Evidence, grants.evidence...)
	f.Why = finding.Join("; ", asked, grants.says)
	f.Remedies.Now = append(f.Remedies.Now, grants.remedies...)
	f.Remedies.Now = append(f.Remedies.Now,
		finding.Remedy{
			Text:    finding.Text{EN: "confirm it", KO: "권한을 확인합니다"},
			Command: first.command(),
		},
		finding.Remedy{
			Text: finding.Text{
				EN: "give the right back, from the manifests if they hold it; the container gets on at its next try",
				KO: "권한을 다시 부여합니다. 원본 manifest가 있으면 그것을 적용합니다. 컨테이너는 다음 시도에서 진행됩니다",
			},
			Command: first.grant(),
		})
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "keep Roles and RoleBindings with the workload that needs them, and test as its ServiceAccount: kubectl auth can-i --as",
		KO: "Role과 RoleBinding을 사용하는 workload와 함께 관리하고, kubectl auth can-i --as로 해당 ServiceAccount의 권한을 시험합니다",
	}}}
	return f
}

// accountOf is the ServiceAccount that a pod runs as.
func accountOf(pod *corev1.Pod) string { return cmp.Or(pod.Spec.ServiceAccountName, "default") }

// grants are what is known of the rights that an account was given.
type grants struct {
	says     finding.Text
	evidence []finding.Evidence
	remedies []finding.Remedy
}

// grantsOf tells which bindings name an account, and which of them lead nowhere.
func grantsOf(p *rule.Pass, account finding.Subject) grants {
	if !p.Coverage(snapshot.KindOf[*rbacv1.RoleBinding]()).Known() || !p.Coverage(snapshot.KindOf[*rbacv1.ClusterRoleBinding]()).Known() {
		return grants{}
	}
	var g grants
	var bindings []string
	look := func(binding snapshot.Object, subjects []rbacv1.Subject, ref rbacv1.RoleRef) {
		if !slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Name == account.Name && cmp.Or(s.Namespace, binding.GetNamespace()) == account.Namespace
		}) {
			return
		}
		b := snapshot.SubjectOf(binding)
		bindings = append(bindings, fmt.Sprintf("%s (%s %s)", finding.Named(b), ref.Kind, ref.Name))
		if !roleMissing(p, b.Namespace, ref) {
			return
		}
		g.says = finding.Join("; ", g.says, finding.Textf("%s refers to %s %s, which does not exist", "%s: 존재하지 않는 %s %s를 참조합니다", finding.Named(b), ref.Kind, ref.Name))
		g.evidence = append(g.evidence, finding.Evidence{Source: finding.Named(b), Path: ".roleRef", Value: ref.Kind + " " + ref.Name})
		scope := ""
		if ref.Kind == "Role" {
			scope = "-n " + b.Namespace + " "
		}
		g.remedies = append(g.remedies, finding.Remedy{
			Text:    finding.Textf("create %s %s again from where it is kept", "원본에서 %s %s를 다시 만듭니다", ref.Kind, ref.Name),
			Command: fmt.Sprintf("kubectl %sget %ss", scope, strings.ToLower(ref.Kind)),
		})
	}
	for _, b := range snapshot.List[*rbacv1.RoleBinding](p.Snapshot) {
		look(b, b.Subjects, b.RoleRef)
	}
	for _, b := range snapshot.List[*rbacv1.ClusterRoleBinding](p.Snapshot) {
		look(b, b.Subjects, b.RoleRef)
	}
	switch {
	case len(bindings) == 0:
		g.says = finding.Text{EN: "no RoleBinding or ClusterRoleBinding names the account", KO: "이 계정을 지정한 RoleBinding이나 ClusterRoleBinding이 없습니다"}
	case g.says.IsZero():
		g.says = finding.Format("what it is bound to grants too little: %s", "연결된 role의 권한이 부족합니다: %s", finding.List(bindings))
	}
	return g
}

// roleMissing tells whether a binding refers to a role that is known not to exist.
func roleMissing(p *rule.Pass, namespace string, ref rbacv1.RoleRef) bool {
	if ref.Kind == "Role" {
		_, ok := snapshot.Get[*rbacv1.Role](p.Snapshot, namespace, ref.Name)
		return !ok && p.Coverage(snapshot.KindOf[*rbacv1.Role]()).Known()
	}
	_, ok := snapshot.Get[*rbacv1.ClusterRole](p.Snapshot, "", ref.Name)
	return !ok && p.Coverage(snapshot.KindOf[*rbacv1.ClusterRole]()).Known()
}

package install

import (
	"path"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
)

// AgentReaderName is the name of the ClusterRole of those who may ask agents, and of its binding.
const AgentReaderName = "maek-agent-reader"

// agentReader is what those need who ask agents, such as Prometheus. Administrators need nothing.
func agentReader() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentReaderName, Labels: agentLabels()},
		Rules: []rbacv1.PolicyRule{{
			NonResourceURLs: []string{monitor.DiagnosisPath, monitor.MetricsPath, monitor.ReportPath, monitor.ReportsPath}, Verbs: []string{"get"},
		}},
	}
}

// AgentProberName is the name of the ClusterRole of those who may have agents make probes, of its binding,
// and of the ServiceAccount by which the command line does.
const AgentProberName = monitor.ProberAccount

// agentProber is what it takes to have agents make probes, which reading what they see does not include: an
// agent reaches what pods may not.
func agentProber() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentProberName, Labels: agentLabels()},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{monitor.ProbePath}, Verbs: []string{"post"}}},
	}
}

// agentProbers are those who may: the operator, for Checks from nodes, and an account in whose name nothing
// runs. Whoever may make tokens of it can have agents probe by the command line.
func agentProbers(namespace string) []runtime.Object {
	account := agentAccount(namespace)
	account.Name, account.AutomountServiceAccountToken = monitor.ProberAccount, new(false)
	return []runtime.Object{account, agentProber(), &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: AgentProberName, Labels: agentLabels()},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: AgentProberName},
		Subjects: []rbacv1.Subject{
			{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: monitor.ProberAccount},
			{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: OperatorName},
		},
	}}
}

// agentTokenVolume of the operator's pod.
const agentTokenVolume = "agent-token"

// agentToken is a token of the operator's own account that is good for asking agents and for nothing else. The
// kubelet renews it (https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken).
func agentToken() corev1.Volume {
	return corev1.Volume{Name: agentTokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
			Audience: monitor.Audience, ExpirationSeconds: new(int64(tokenSeconds)), Path: path.Base(agents.TokenFile),
		}}},
	}}}
}

// tokenSeconds is how long such a token lasts: it is renewed after four fifths of it, which leaves time where
// the API server is away (k8s.io/kubernetes/pkg/kubelet/token/token_manager.go).
const tokenSeconds = 3600

// agentAccess is what agents may do in the API: read Nodes, a few Services and their own pods, write the
// status of Nodes (the policy confines that to the own one), and have the API server say who their callers
// are.
func agentAccess(namespace string, a Agent) []runtime.Object {
	subject := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: AgentName}}
	core, discovery := []string{""}, []string{"discovery.k8s.io"}
	follow := []string{"list", "watch"}
	var out []runtime.Object

	out = append(out,
		&rbacv1.ClusterRole{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{Name: AgentName, Labels: agentLabels()},
			Rules: []rbacv1.PolicyRule{
				{APIGroups: core, Resources: []string{"nodes"}, Verbs: follow},
				{APIGroups: core, Resources: []string{"nodes/status"}, Verbs: []string{"patch"}},
				// The kubelet's own API on the same machine.
				{APIGroups: core, Resources: []string{"nodes/configz", "nodes/healthz", "nodes/metrics", "nodes/stats"}, Verbs: []string{"get"}},
				{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
				{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
			},
		},
		&rbacv1.ClusterRoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Name: AgentName, Labels: agentLabels()},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: AgentName},
			Subjects:   subject,
		})
	role := func(in string, rules ...rbacv1.PolicyRule) {
		out = append(out,
			&rbacv1.Role{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
				ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: AgentName, Labels: agentLabels()},
				Rules:      rules,
			},
			&rbacv1.RoleBinding{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
				ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: AgentName, Labels: agentLabels()},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: AgentName},
				Subjects:   subject,
			})
	}
	service := func(name string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: core, Resources: []string{"services"}, ResourceNames: []string{name}, Verbs: follow}
	}
	slices := rbacv1.PolicyRule{APIGroups: discovery, Resources: []string{"endpointslices"}, Verbs: follow}
	role(namespace, rbacv1.PolicyRule{APIGroups: core, Resources: []string{"pods"}, Verbs: follow})
	role(metav1.NamespaceSystem, service("kube-dns"), slices,
		rbacv1.PolicyRule{APIGroups: core, Resources: []string{"configmaps"}, ResourceNames: []string{"extension-apiserver-authentication"}, Verbs: follow})
	inDefault := []rbacv1.PolicyRule{service("kubernetes"), slices}
	if a.NodeConditions {
		inDefault = append(inDefault, rbacv1.PolicyRule{APIGroups: core, Resources: []string{"events"}, Verbs: []string{"create"}})
	}
	role(metav1.NamespaceDefault, inDefault...)
	return out
}

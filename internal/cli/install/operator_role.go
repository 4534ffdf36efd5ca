package install

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maek-dev/maek/internal/rule"
)

// operatorAccess is what the operator may do, a role for each concern.
func operatorAccess(namespace string, rules []rule.Rule) []runtime.Object {
	var out []runtime.Object
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: OperatorName}}
	for _, concern := range []struct {
		name  string
		rules []rbacv1.PolicyRule
	}{
		{OperatorName + "-checks", checksAccess()},
		{OperatorName + "-targets", targetsAccess()},
		{OperatorName + "-incidents", incidentsAccess(rules)},
		{OperatorName + "-callers", []rbacv1.PolicyRule{
			{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
			{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		}},
	} {
		out = append(out,
			&rbacv1.ClusterRole{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
				ObjectMeta: metav1.ObjectMeta{Name: concern.name, Labels: operatorLabels()},
				Rules:      concern.rules,
			},
			&rbacv1.ClusterRoleBinding{
				TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"},
				ObjectMeta: metav1.ObjectMeta{Name: concern.name, Labels: operatorLabels()},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: concern.name},
				Subjects:   subjects,
			})
	}
	out = append(out, grantable()...)
	// Who is alive, and who leads.
	return append(out,
		&rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: OperatorName, Labels: operatorLabels()},
			Rules: []rbacv1.PolicyRule{{
				APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"},
			}},
		},
		&rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: OperatorName, Labels: operatorLabels()},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: OperatorName},
			Subjects:   subjects,
		})
}

// checksAccess is what running checks takes: their objects, their pods, the end of those pods' logs, and
// whatever tells that a Kuberhealthy is alive. Each verb is one that the operator is seen to use
// (test/controlplane/install); a check's pod does not block its deletion, so that no right to finalizers is
// needed.
func checksAccess() []rbacv1.PolicyRule {
	v2, v3, core, own := []string{"comcast.github.io"}, []string{"kuberhealthy.github.io"}, []string{""}, []string{"maek.dev"}
	return []rbacv1.PolicyRule{
		// A run that is asked for is noted on its check.
		{APIGroups: v2, Resources: []string{"khchecks"}, Verbs: []string{"get", "list", "patch", "watch"}},
		{APIGroups: v2, Resources: []string{"khjobs"}, Verbs: []string{"delete", "get", "list", "patch", "watch"}},
		{APIGroups: v2, Resources: []string{"khstates"}, Verbs: []string{"create", "delete", "get", "list", "update", "watch"}},
		{APIGroups: v3, Resources: []string{"healthchecks"}, Verbs: []string{"get", "list", "patch", "watch"}},
		{APIGroups: v3, Resources: []string{"healthchecks/status"}, Verbs: []string{"update"}},
		{APIGroups: core, Resources: []string{"pods"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: core, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		// Why a pod does not start: its Events, and whether its node is lost.
		{APIGroups: core, Resources: []string{"events", "nodes"}, Verbs: []string{"list"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: own, Resources: []string{"checkrecords"}, Verbs: []string{"create", "delete", "get", "update"}},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: []string{"list", "watch"}},
		// Kuberhealthy's may be in any namespace.
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"list", "watch"}},
	}
}

// targetsAccess is what running Checks takes beyond that: the Checks, and what they ask and are allowed to. What
// is written of a Check is its status alone. Nodes are asked by their agents.
func targetsAccess() []rbacv1.PolicyRule {
	follow := []string{"list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checks"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checks/status"}, Verbs: []string{"update"}},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checkpolicies"}, Verbs: follow},
		{APIGroups: []string{""}, Resources: []string{"pods", "services", "namespaces", "nodes"}, Verbs: follow},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: follow},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: follow},
		// Authorities that a check trusts.
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}},
	}
}

// The roles that nobody has before a namespace grants them to the operator, by a RoleBinding: so a Check has no
// right that its namespace's administrators do not have themselves
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update).
const (
	roleSecrets   = "maek-check-secrets" //nolint:gosec // the name of a role, and nobody's secret
	roleExec      = "maek-check-exec"
	roleInService = "maek-check-in-service"
)

// grantable are those roles.
func grantable() []runtime.Object {
	core := []string{""}
	var out []runtime.Object
	for _, role := range []struct {
		name, why string
		rule      rbacv1.PolicyRule
	}{
		{roleSecrets, "lets Checks show what is in Secrets of their namespace to those whom they ask", rbacv1.PolicyRule{APIGroups: core, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
		// Commands are run over a websocket, which begins with a GET, so that it takes get; from Kubernetes 1.35 on
		// the API server wants create beside it (feature gate AuthorizePodWebsocketUpgradeCreatePermission). To
		// servers older than 1.29, which know no websocket for it, they go over SPDY by a POST, which takes create.
		{roleExec, "lets Checks run commands in containers of their namespace", rbacv1.PolicyRule{APIGroups: core, Resources: []string{"pods/exec"}, Verbs: []string{"create", "get"}}},
		{roleInService, "lets Checks take pods of their namespace out of their Services, as far as a CheckPolicy allows it", rbacv1.PolicyRule{APIGroups: core, Resources: []string{"pods/status"}, Verbs: []string{"patch"}}},
	} {
		out = append(out, &rbacv1.ClusterRole{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
			ObjectMeta: metav1.ObjectMeta{
				Name: role.name, Labels: operatorLabels(),
				Annotations: map[string]string{"maek.dev/description": role.why + "; bind it in a namespace to the ServiceAccount " + OperatorName},
			},
			Rules: []rbacv1.PolicyRule{role.rule},
		})
	}
	return out
}

// incidentsAccess is what a diagnosis that never ends takes: what rules read, followed and not only listed,
// and the incidents themselves. It also lets the operator ask agents, where there are some.
func incidentsAccess(rules []rule.Rule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range Role(rules).Rules {
		r = *r.DeepCopy()
		if slices.Equal(r.Verbs, []string{"list"}) {
			r.Verbs = append(r.Verbs, "watch")
		}
		out = append(out, r)
	}
	out = append(out, agentReader().Rules...)
	return append(out,
		rbacv1.PolicyRule{APIGroups: []string{"maek.dev"}, Resources: []string{"incidents"}, Verbs: []string{"create", "delete", "get", "list"}},
		rbacv1.PolicyRule{APIGroups: []string{"maek.dev"}, Resources: []string{"incidents/status"}, Verbs: []string{"update"}},
		rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create"}},
	)
}

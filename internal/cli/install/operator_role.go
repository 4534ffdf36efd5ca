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
// whatever tells that a Kuberhealthy is alive.
func checksAccess() []rbacv1.PolicyRule {
	follow := []string{"get", "list", "watch"}
	all := []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	v2, v3, core := []string{"comcast.github.io"}, []string{"kuberhealthy.github.io"}, []string{""}
	return []rbacv1.PolicyRule{
		{APIGroups: v2, Resources: []string{"khchecks"}, Verbs: []string{"get", "list", "patch", "update", "watch"}},
		{APIGroups: v2, Resources: []string{"khjobs"}, Verbs: []string{"delete", "get", "list", "patch", "update", "watch"}},
		{APIGroups: v2, Resources: []string{"khstates"}, Verbs: all},
		{APIGroups: v3, Resources: []string{"healthchecks"}, Verbs: []string{"get", "list", "patch", "update", "watch"}},
		{APIGroups: v3, Resources: []string{"healthchecks/status"}, Verbs: []string{"patch", "update"}},
		// Where owners are checked, whoever makes a pod that holds up the deletion of its check must be allowed to
		// (https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement).
		{APIGroups: v2, Resources: []string{"khchecks/finalizers", "khjobs/finalizers"}, Verbs: []string{"update"}},
		{APIGroups: v3, Resources: []string{"healthchecks/finalizers"}, Verbs: []string{"update"}},
		{APIGroups: core, Resources: []string{"pods"}, Verbs: []string{"create", "delete", "get", "list", "watch"}},
		{APIGroups: core, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		{APIGroups: core, Resources: []string{"events"}, Verbs: []string{"list"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checkrecords"}, Verbs: all},
		{APIGroups: []string{"maek.dev"}, Resources: []string{"checks"}, Verbs: follow},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: follow},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: follow},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: follow},
	}
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
		rbacv1.PolicyRule{APIGroups: []string{"maek.dev"}, Resources: []string{"incidents"}, Verbs: []string{"create", "delete", "get", "list", "patch", "update", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{"maek.dev"}, Resources: []string{"incidents/status"}, Verbs: []string{"patch", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch", "update"}},
	)
}

package install

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/rule"
)

const (
	// RoleName is the name of the ClusterRole, and of its binding.
	RoleName = "maek-read-only"
	// QuestionsRoleName is the name of the ClusterRole that --questions adds, and of its binding.
	QuestionsRoleName = "maek-questions"
)

// labels of everything that is installed
// (https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
func labels() map[string]string {
	return map[string]string{"app.kubernetes.io/name": "maek", "app.kubernetes.io/part-of": "maek"}
}

// Role is the least that a diagnosis needs: to list the kinds that rules read, to read logs, and to
// ask the API server how it is. It grants no write, no Secret and no wildcard.
func Role(rules []rule.Rule) *rbacv1.ClusterRole {
	resources := map[string][]string{}
	var groups []string
	for _, k := range rule.Kinds(rules) {
		if !slices.Contains(groups, k.Group) {
			groups = append(groups, k.Group)
		}
		resources[k.Group] = append(resources[k.Group], k.Resource)
	}
	slices.Sort(groups)
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: RoleName, Labels: labels()},
	}
	for _, g := range groups {
		slices.Sort(resources[g])
		role.Rules = append(role.Rules, rbacv1.PolicyRule{
			APIGroups: []string{g}, Resources: slices.Compact(resources[g]), Verbs: []string{"list"},
		})
	}
	role.Rules = append(role.Rules,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{NonResourceURLs: []string{"/livez", "/metrics", "/readyz", "/version"}, Verbs: []string{"get"}},
	)
	return role
}

// QuestionsRole is what questions need beyond lists and logs: a kubelet's configuration and
// measurements, the configuration of cluster DNS, what is stored beside what is listed, and whether others may do
// something. It is apart,
// and not installed by default, for nodes/proxy reaches all of a kubelet's API
// (https://kubernetes.io/docs/concepts/security/rbac-good-practices/#access-to-proxy-subresource-of-nodes).
func QuestionsRole() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: QuestionsRoleName, Labels: labels()},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"nodes/proxy"}, Verbs: []string{"get"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps", "namespaces", "nodes"}, Verbs: []string{"get"}},
			{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
		},
	}
}

package install

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/synthetic"
	"github.com/maek-dev/maek/internal/synthetic/launch"
)

// CheckerRepository is where the image of the stock checks is called to be from.
const CheckerRepository = "ghcr.io/maek-dev/maek-checker"

// checkerComponent of the labels of what belongs to the stock checks.
const checkerComponent = "checker"

// stock are the checks that are installed, with the names and times that Kuberhealthy's chart gives them
// (master: deploy/helm/kuberhealthy/values.yaml, check).
var stock = []struct {
	name, scenario, interval, timeout string
	env                               map[string]string
}{
	{"daemonset", "daemonset", "15m", "12m", nil},
	{"deployment", "deployment", "10m", "15m", map[string]string{"CHECK_DEPLOYMENT_REPLICAS": "4", "CHECK_DEPLOYMENT_ROLLING_UPDATE": "true"}},
	{"dns-status-internal", "dns", "2m", "15m", map[string]string{"HOSTNAME": "kubernetes.default"}},
}

// stockChecks are the checks, each with a ServiceAccount that may do what its scenario does.
func stockChecks(namespace string, o Operator) []runtime.Object {
	var out []runtime.Object
	for _, c := range stock {
		s, known := synthetic.All.Find(c.scenario)
		if !known {
			// The names are constants, and a test prints them all.
			panic("install: there is no scenario " + c.scenario)
		}
		// Not <name>-khcheck: so the charts of Kuberhealthy call theirs, and what a RoleBinding refers to
		// cannot be changed.
		account := "maek-check-" + s.Name
		out = append(out, CheckerAccess(namespace, account, s)...)
		var env []corev1.EnvVar
		for _, option := range s.Options {
			if value, set := c.env[option.Name]; set {
				env = append(env, corev1.EnvVar{Name: option.Name, Value: value})
			}
		}
		out = append(out, stockCheck(namespace, c.name, c.interval, c.timeout, launch.Spec(s, account, o.CheckerImage, env)))
	}
	return out
}

func stockCheck(namespace, name, interval, timeout string, pod corev1.PodSpec) *khv1.KuberhealthyCheck {
	raw, err := json.Marshal(pod)
	if err != nil {
		// It is made of constants, and a test prints them all.
		panic("install: the pod of " + name + " has no JSON form: " + err.Error())
	}
	return &khv1.KuberhealthyCheck{
		TypeMeta:   metav1.TypeMeta{APIVersion: khv1.GroupVersion.String(), Kind: "KuberhealthyCheck"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: checkerLabels()},
		Spec:       khv1.CheckSpec{RunInterval: interval, Timeout: timeout, PodSpec: runtime.RawExtension{Raw: raw}},
	}
}

func checkerLabels() map[string]string {
	l := labels()
	l["app.kubernetes.io/component"] = checkerComponent
	return l
}

// CheckerAccess lets a ServiceAccount do what a scenario does, in the order in which it can be applied.
func CheckerAccess(namespace, account string, s synthetic.Scenario) []runtime.Object {
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}}
	inNamespace := metav1.ObjectMeta{Namespace: namespace, Name: account, Labels: checkerLabels()}
	out := []runtime.Object{&corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: inNamespace}}
	rbac := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: kind}
	}
	if len(s.Access) > 0 {
		out = append(out,
			&rbacv1.Role{TypeMeta: rbac("Role"), ObjectMeta: inNamespace, Rules: copied(s.Access)},
			&rbacv1.RoleBinding{
				TypeMeta: rbac("RoleBinding"), ObjectMeta: inNamespace,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account}, Subjects: subjects,
			})
	}
	if len(s.ClusterAccess) > 0 {
		// The same check may be installed in several namespaces.
		whole := metav1.ObjectMeta{Name: namespace + "-" + account, Labels: checkerLabels()}
		out = append(out,
			&rbacv1.ClusterRole{TypeMeta: rbac("ClusterRole"), ObjectMeta: whole, Rules: copied(s.ClusterAccess)},
			&rbacv1.ClusterRoleBinding{
				TypeMeta: rbac("ClusterRoleBinding"), ObjectMeta: whole,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: whole.Name}, Subjects: subjects,
			})
	}
	return out
}

// copied keeps what a scenario needs from clients that read the API server's answer into what they sent.
func copied(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	out := make([]rbacv1.PolicyRule, len(rules))
	for i := range rules {
		rules[i].DeepCopyInto(&out[i])
	}
	return out
}

package install

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	selectors "k8s.io/apimachinery/pkg/labels"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/rules"
)

var example = Operator{Image: "example/operator:1", CheckerImage: "example/checker:1", Replicas: 2, Language: "ko"}

// TestTheOperatorGrantsNothingThatAReviewerWouldAskAbout looks at all roles that are installed with the
// operator.
func TestTheOperatorGrantsNothingThatAReviewerWouldAskAbout(t *testing.T) {
	seen := 0
	for _, obj := range operatorObjects("ops", rules.All(), example) {
		var granted []rbacv1.PolicyRule
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			if slices.Contains(unbound, o.Name) {
				continue // TestWhatNamespacesGrantIsGrantedToNobody
			}
			granted = o.Rules
		case *rbacv1.Role:
			granted = o.Rules
		}
		for _, r := range granted {
			seen++
			for _, list := range [][]string{r.APIGroups, r.Resources, r.Verbs, r.NonResourceURLs} {
				if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "*") }) {
					t.Errorf("a wildcard in %+v", r)
				}
			}
			for _, resource := range r.Resources {
				if slices.Contains([]string{"secrets", "nodes/proxy", "pods/exec", "pods/attach", "serviceaccounts/token"}, resource) {
					t.Errorf("%v on %s", r.Verbs, resource)
				}
			}
			for _, verb := range r.Verbs {
				if slices.Contains([]string{"bind", "escalate", "impersonate", "deletecollection"}, verb) {
					t.Errorf("%s on %v", verb, r.Resources)
				}
			}
		}
	}
	if seen < 20 {
		t.Fatalf("saw %d rules", seen)
	}
}

// unbound are the roles that namespaces bind themselves.
var unbound = []string{"maek-check-secrets", "maek-check-exec", "maek-check-in-service"}

// TestWhatNamespacesGrantIsGrantedToNobody looks for the roles that are bound to nobody when they are installed.
func TestWhatNamespacesGrantIsGrantedToNobody(t *testing.T) {
	there := map[string]bool{}
	for _, obj := range operatorObjects("ops", rules.All(), example) {
		var bound rbacv1.RoleRef
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			there[o.Name] = true
		case *rbacv1.ClusterRoleBinding:
			bound = o.RoleRef
		case *rbacv1.RoleBinding:
			bound = o.RoleRef
		}
		if slices.Contains(unbound, bound.Name) {
			t.Errorf("%s is bound", bound.Name)
		}
	}
	for _, name := range unbound {
		if !there[name] {
			t.Errorf("there is no role %s", name)
		}
	}
}

// TestEveryPodObeysTheRestrictedProfile holds the pods of the operator and of the stock checks against
// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted.
func TestEveryPodObeysTheRestrictedProfile(t *testing.T) {
	pods := map[string]corev1.PodSpec{}
	for _, obj := range operatorObjects("ops", nil, example) {
		switch o := obj.(type) {
		case *appsv1.Deployment:
			pods[o.Name] = o.Spec.Template.Spec
		case *khv1.KuberhealthyCheck:
			var spec corev1.PodSpec
			if err := json.Unmarshal(o.Spec.PodSpec.Raw, &spec); err != nil {
				t.Fatal(err)
			}
			pods[o.Name] = spec
		}
	}
	for name, spec := range pods {
		checkRestricted(t, name, spec)
	}
	want := []string{"daemonset", "deployment", "dns-status-internal", "maek-operator"}
	var got []string
	for name := range pods {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func checkRestricted(t *testing.T, name string, spec corev1.PodSpec) {
	t.Helper()
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		t.Errorf("%s shares something with its machine", name)
	}
	for _, v := range spec.Volumes {
		if v.Projected == nil || len(v.Projected.Sources) != 1 || v.Projected.Sources[0].ServiceAccountToken == nil {
			t.Errorf("%s mounts %+v, and nothing but tokens is needed", name, v)
		}
	}
	if s := spec.SecurityContext; !*s.RunAsNonRoot || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: security context %+v", name, s)
	}
	for _, c := range spec.Containers {
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("%s: security context of %s %+v", name, c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: %s has no limit of memory, or asks for no CPU", name, c.Name)
		}
	}
}

// TestKuberhealthysUsersFindTheOperator holds what checker pods, ServiceMonitors and people address.
func TestKuberhealthysUsersFindTheOperator(t *testing.T) {
	var service *corev1.Service
	var deployment *appsv1.Deployment
	checks := map[string]khv1.CheckSpec{}
	for _, obj := range operatorObjects("kuberhealthy", nil, example) {
		switch o := obj.(type) {
		case *corev1.Service:
			service = o
		case *appsv1.Deployment:
			deployment = o
		case *khv1.KuberhealthyCheck:
			checks[o.Name] = khv1.CheckSpec{RunInterval: o.Spec.RunInterval, Timeout: o.Spec.Timeout}
		}
	}
	port := service.Spec.Ports[0]
	if service.Name != "kuberhealthy" || service.Labels["app"] != "kuberhealthy" || port.Port != 80 || port.Name != "http" {
		t.Errorf("Service %s, labels %v, port %+v", service.Name, service.Labels, port)
	}
	template := deployment.Spec.Template
	if !selectors.SelectorFromSet(service.Spec.Selector).Matches(selectors.Set(template.Labels)) {
		t.Errorf("the Service selects %v, and the pods have %v", service.Spec.Selector, template.Labels)
	}
	container := template.Spec.Containers[0]
	if named := container.Ports[0]; named.Name != port.TargetPort.StrVal || named.ContainerPort != 8080 {
		t.Errorf("the Service's port leads to %v, and the container's is %+v", port.TargetPort, named)
	}
	// Kuberhealthy 2 takes the first running pod with this label for its master.
	if template.Labels["app"] == "kuberhealthy" {
		t.Error("a Kuberhealthy 2 beside would take the operator for its own master")
	}
	env := map[string]string{}
	for _, v := range container.Env {
		if v.ValueFrom != nil {
			env[v.Name] = v.ValueFrom.FieldRef.FieldPath
		}
	}
	if diff := cmp.Diff(map[string]string{"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace", "POD_UID": "metadata.uid", "POD_SERVICE_ACCOUNT": "spec.serviceAccountName"}, env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	want := map[string]khv1.CheckSpec{
		"daemonset":           {RunInterval: "15m", Timeout: "12m"},
		"deployment":          {RunInterval: "10m", Timeout: "15m"},
		"dns-status-internal": {RunInterval: "2m", Timeout: "15m"},
	}
	if diff := cmp.Diff(want, checks); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
}

// TestObjectsComeInTheOrderInWhichTheyCanBeApplied holds that each kind and each account is there before
// what needs it.
func TestObjectsComeInTheOrderInWhichTheyCanBeApplied(t *testing.T) {
	var out bytes.Buffer
	if err := Manifests(&out, "ops", nil, Options{KuberhealthyDefinitions: true, Operator: &example}); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, next := range []string{
		"kind: Namespace\n", "kind: CustomResourceDefinition\n", "kind: ServiceAccount\n", "kind: ClusterRole\n", "kind: ClusterRoleBinding\n",
		"kind: Deployment\n", "kind: KuberhealthyCheck\n",
	} {
		found := strings.Index(out.String()[at:], "\n"+next)
		if found < 0 {
			t.Fatalf("no %q after what has to come before it", next)
		}
		at += found
	}
}

package install

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
)

// TestTheAgentHasTheLeastThatItNeeds holds what a reviewer would look for.
func TestTheAgentHasTheLeastThatItNeeds(t *testing.T) {
	objects := agentObjects("ops", Agent{Image: "example/agent:1", NodeConditions: true})
	seen := 0
	for _, obj := range objects {
		var rules []rbacv1.PolicyRule
		switch o := obj.(type) {
		case *rbacv1.ClusterRole:
			rules = o.Rules
		case *rbacv1.Role:
			rules = o.Rules
		case *appsv1.DaemonSet:
			seen++
			checkPod(t, o.Spec.Template.Spec)
		}
		for _, r := range rules {
			seen++
			for _, list := range [][]string{r.APIGroups, r.Resources, r.Verbs} {
				if slices.Contains(list, "*") {
					t.Errorf("a wildcard in %+v", r)
				}
			}
			for _, verb := range r.Verbs {
				if verb == "post" && slices.Equal(r.NonResourceURLs, []string{monitor.ProbePath}) {
					continue
				}
				if !slices.Contains([]string{"get", "list", "watch", "patch", "create"}, verb) || slices.Contains(r.Resources, "secrets") {
					t.Errorf("%s on %v", verb, r.Resources)
				}
			}
		}
	}
	if seen < 8 {
		t.Fatalf("saw %d of the rules and pods", seen)
	}
}

// TestWhoReadsMayNotProbe holds that the right to have agents make probes is nobody's but the probers', and
// that the operator's pod has a token for agents which is good for nothing else.
func TestWhoReadsMayNotProbe(t *testing.T) {
	for _, r := range agentReader().Rules {
		if slices.Contains(r.NonResourceURLs, monitor.ProbePath) || slices.Contains(r.Verbs, "post") {
			t.Errorf("the role of readers has %+v", r)
		}
	}
	var probers []string
	for _, obj := range agentObjects("ops", Agent{Image: "example/agent:1"}) {
		if b, ok := obj.(*rbacv1.ClusterRoleBinding); ok && b.RoleRef.Name == AgentProberName {
			for _, s := range b.Subjects {
				probers = append(probers, s.Kind+" "+s.Namespace+"/"+s.Name)
			}
		}
	}
	if diff := cmp.Diff([]string{"ServiceAccount ops/maek-agent-prober", "ServiceAccount ops/maek-operator"}, probers); diff != "" {
		t.Errorf("who may have agents probe (-want +got):\n%s", diff)
	}
	pod := operatorDeployment("ops", Operator{}).Spec.Template.Spec
	token, mount := pod.Volumes[0].Projected.Sources[0].ServiceAccountToken, pod.Containers[0].VolumeMounts[0]
	if token.Audience != monitor.Audience || mount.MountPath+"/"+token.Path != agents.TokenFile || !mount.ReadOnly || mount.Name != pod.Volumes[0].Name {
		t.Errorf("token %+v at %+v", token, mount)
	}
}

func checkPod(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	if pod.HostPID || pod.HostIPC || !pod.HostNetwork {
		t.Errorf("host namespaces: PID %v, IPC %v, network %v", pod.HostPID, pod.HostIPC, pod.HostNetwork)
	}
	c := pod.Containers[0]
	s := c.SecurityContext
	if s.Privileged != nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
		t.Errorf("security context %+v", s)
	}
	paths := map[string]string{}
	for _, v := range pod.Volumes {
		paths[v.Name] = v.HostPath.Path
	}
	writable := []string{}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly {
			writable = append(writable, paths[m.Name])
			if m.MountPath != paths[m.Name] {
				t.Errorf("%s is at %s", paths[m.Name], m.MountPath)
			}
		}
	}
	if diff := cmp.Diff([]string{monitor.StatePath, "/run/maek"}, writable); diff != "" {
		t.Errorf("folders of the machine that it can write to (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(monitor.SocketPath, "/run/maek/") {
		t.Errorf("the socket %s is in no folder of its own", monitor.SocketPath)
	}
	if c.Resources.Limits.Memory().IsZero() {
		t.Error("no limit of memory")
	}
}

func TestNothingIsWrittenUnlessToldTo(t *testing.T) {
	for name, tc := range map[string]struct {
		namespace             string
		agent                 *Agent
		wantProfile           string
		wantAgent, wantEvents bool
	}{
		"without the agent":                         {defaultNamespace, nil, "pod-security.kubernetes.io/enforce: restricted", false, false},
		"in a namespace that has others' pods, too": {"kuberhealthy", nil, "", false, false},
		"an agent that tells nobody":                {"ops", &Agent{Image: "i"}, "pod-security.kubernetes.io/enforce: privileged", true, false},
		"an agent that writes conditions":           {"ops", &Agent{Image: "i", NodeConditions: true}, "pod-security.kubernetes.io/enforce: privileged", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Manifests(&out, tc.namespace, nil, Options{Agent: tc.agent}); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			profile, _, _ := strings.Cut(got[max(0, strings.Index(got, "pod-security.")):], "\n")
			if !strings.Contains(got, "pod-security.") {
				profile = ""
			}
			if profile != tc.wantProfile {
				t.Errorf("the namespace has the label %q, want %q", profile, tc.wantProfile)
			}
			if has := strings.Contains(got, "kind: DaemonSet"); has != tc.wantAgent {
				t.Errorf("a DaemonSet: %v", has)
			}
			if has := strings.Contains(got, "--node-conditions"); has != tc.wantEvents {
				t.Errorf("the flag: %v", has)
			}
			if has := strings.Contains(got, "- events\n  verbs:"); has != tc.wantEvents {
				t.Errorf("the right to create events: %v", has)
			}
		})
	}
}

// TestThePolicyKnowsTheWholeStatus holds that a field which a new version brings is thought of.
func TestThePolicyKnowsTheWholeStatus(t *testing.T) {
	var want []string
	for field := range reflect.TypeFor[corev1.NodeStatus]().Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "conditions" {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, statusFields); diff != "" {
		t.Errorf("fields of a Node's status (-want +got):\n%s", diff)
	}
}

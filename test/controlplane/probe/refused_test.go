package probe

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// TestWhoMayOnlyRead holds that a user without further rights is told in one line each what could not be done, and
// all the rest.
func TestWhoMayOnlyRead(t *testing.T) {
	(&kubelet{}).start(t, "w3")
	namespace(t, "reading")
	for _, o := range []client.Object{
		&rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: "reading", Name: "pods"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "reading", Name: "pods"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "pods"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "kim"}},
		},
	} {
		if err := cluster.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	c := readiness("app", get("/", 8080))
	c.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
	pod(t, "reading", "app", "w3", nil, c)
	config := apiserver.Kubeconfig(t, environment, "kim")
	var out, errOut output
	maek(t.Context(), &out, &errOut, "probe", "app", "-n", "reading", "--kubeconfig", config)
	for _, want := range []string{
		"not asked: forbidden: needs create on pods/portforward", "not asked: forbidden: needs create on pods/exec",
		"Events (forbidden: needs list on events)", "Node w3 (forbidden: needs get on nodes)",
		"EndpointSlices (forbidden: needs list on endpointslices.discovery.k8s.io)", "Services (forbidden: needs list on services)",
		"out of its Services after 3 failures in a row",
	} {
		if got := strings.Count(strings.Join(strings.Fields(out.String()), " "), want); got != 1 {
			t.Errorf("%q is told %d times in:\n%s%s", want, got, out.String(), errOut.String())
		}
	}
}

// TestWhatCannotBeProbed holds that wrong names, and pods that do not run, take one clear sentence.
func TestWhatCannotBeProbed(t *testing.T) {
	(&kubelet{}).start(t, "w4")
	namespace(t, "odd")
	pod(t, "odd", "named", "w4", []string{"app"}, readiness("app", corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromString("web")}}))
	if err := cluster.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "odd", Name: "empty"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "nobody"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "odd", Name: "outside"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"},
	}); err != nil {
		t.Fatal(err)
	}
	waiting := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "odd", Name: "waiting"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{readiness("app", get("/", 80))}},
	}
	waiting.Spec.Containers[0].Image = "example.com/app:1"
	if err := cluster.Create(t.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	pod(t, "odd", "asking", "w4", nil, readiness("app", get("/", 8080)))
	pod(t, "odd", "bare", "w4", nil, corev1.Container{Name: "app"})
	config := apiserver.Kubeconfig(t, environment, "prober", "system:masters")
	for name, tc := range map[string]struct {
		args []string
		code exit.Code
		want string
	}{
		"no such pod":            {[]string{"gone"}, exit.Usage, "there is no Pod odd/gone"},
		"no such workload":       {[]string{"deploy/gone"}, exit.Usage, "there is no Deployment odd/gone"},
		"no such kind":           {[]string{"node/w4"}, exit.Usage, `"node" has no pods to probe`},
		"no such container":      {[]string{"named", "-c", "db"}, exit.Usage, `has no container "db" that may have probes; write one of: app`},
		"a Service without pods": {[]string{"svc/empty"}, exit.Usage, "Service odd/empty has no pods"},
		"a Service elsewhere":    {[]string{"svc/outside"}, exit.Usage, "Service odd/outside selects no pods"},
		"a pod without a node":   {[]string{"waiting"}, exit.Unknown, "no node: nothing is asked before it has one"},
		"a port without a name":  {[]string{"named"}, exit.Incidents, `port "web", which is none of the container's`},
		"no curl to ask with":    {[]string{"asking", "--ask", "exec"}, exit.OK, "not asked: the container has no curl to ask with"},
		"a pod without probes":   {[]string{"bare"}, exit.OK, "no probes: the kubelet takes the container for ready"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut output
			code := maek(t.Context(), &out, &errOut, append([]string{"probe", "-n", "odd", "--kubeconfig", config}, tc.args...)...)
			got := strings.Join(strings.Fields(out.String()+errOut.String()), " ")
			if code != tc.code || !strings.Contains(got, tc.want) {
				t.Errorf("exit code %d, want %d, and %q in:\n%s", code, tc.code, tc.want, got)
			}
		})
	}
}

// TestTheKubeletsCounters are read through the API server.
func TestTheKubeletsCounters(t *testing.T) {
	if ownAddress(t) == loopback {
		t.Skip("API servers pass nothing on to a loopback address, and this machine has no other")
	}
	k := &kubelet{}
	k.start(t, "w5")
	namespace(t, "counted")
	p := pod(t, "counted", "app", "w5", []string{"app"}, readiness("app", get("/", 8080)))
	k.metrics = "# TYPE prober_probe_total counter\n" +
		`prober_probe_total{container="app",namespace="counted",pod="app",pod_uid="` + string(p.UID) + `",probe_type="Readiness",result="failed"} 7` + "\n" +
		`prober_probe_total{container="app",namespace="counted",pod="app",pod_uid="earlier",probe_type="Readiness",result="failed"} 90` + "\n"
	var out, errOut output
	maek(t.Context(), &out, &errOut, "probe", "app", "-n", "counted", "--no-ask", "-o", "json", "--kubeconfig", apiserver.Kubeconfig(t, environment, "counter", "system:masters"))
	var doc document
	if err := json.Unmarshal([]byte(out.String()), &doc); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errOut.String())
	}
	if got := doc.Pods[0].Containers[0].Probes[0].Counts.Metrics; got["failed"] != 7 || len(doc.Missing) != 0 {
		t.Errorf("counted %v, missing %q", got, doc.Missing)
	}
}

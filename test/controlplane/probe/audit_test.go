package probe

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// TestAudit finds a probe that asks a port by a name which is not there, of one workload and of its namespace, and holds
// that the patch which it prints is one that the API server takes and that mends it.
func TestAudit(t *testing.T) {
	(&kubelet{}).start(t, "w6")
	namespace(t, "audited")
	c := readiness("app", corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/it's", Port: intstr.FromString("web")}})
	c.Image, c.Ports = "example.com/app:1", []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	labels := map[string]string{"app": "front"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "audited", Name: "front"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}
	create(t, deployment)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "audited", Name: "front-1", OwnerReferences: owned(deployment, "Deployment"), Labels: labels},
		Spec:       appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}
	create(t, rs)
	p := pod(t, "audited", "front", "w6", []string{"app"}, c)
	p.OwnerReferences = owned(rs, "ReplicaSet")
	update(t, p)
	// It has not been ready since it started, an hour ago.
	began := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	p.Status.StartTime, p.Status.Conditions[0].LastTransitionTime = &began, began
	updateStatus(t, p)
	config := apiserver.Kubeconfig(t, environment, "auditor", "system:masters")

	audit := func(want exit.Code, args ...string) string {
		t.Helper()
		var out, errOut output
		code := maek(t.Context(), &out, &errOut, append([]string{"probe", "--audit", "--kubeconfig", config}, args...)...)
		if code != want {
			t.Errorf("%q: exit code %d, want %d: %s%s", args, code, want, out.String(), errOut.String())
		}
		return out.String()
	}
	namespace(t, "empty")
	if got := audit(exit.OK, "-n", "empty"); !strings.Contains(got, "Nothing was found in the probes of namespace empty.") {
		t.Errorf("of an empty namespace: %s", got)
	}
	audit(exit.Usage, "-n", "gone")
	audit(exit.Usage, "-n", "audited", "deploy/gone")
	var doc struct {
		Findings []struct{ Code, Title string }
	}
	for _, args := range [][]string{{"-n", "audited"}, {"-n", "audited", "deploy/front"}, {"-n", "audited", "front"}, {"-A"}} {
		if err := json.Unmarshal([]byte(audit(exit.Incidents, append(args, "-o", "json")...)), &doc); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range doc.Findings {
			found = found || f.Code == "ProbePortNotFound" && strings.Contains(f.Title, "front")
		}
		if !found {
			t.Errorf("%q found %+v", args, doc.Findings)
		}
	}
	if got := audit(exit.Incidents, "-n", "audited"); !strings.Contains(got, "ProbePortNotFound") || !strings.Contains(got, "kubectl -n audited patch deployment/front") {
		t.Errorf("printed: %s", got)
	}

	patches := audit(exit.Incidents, "-n", "audited", "deploy/front", "-o", "patch")
	shell := exec.CommandContext(t.Context(), "sh", "-e")
	shell.Stdin = strings.NewReader(patches)
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(environment.ControlPlane.KubectlPath)+":"+os.Getenv("PATH"))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s of\n%s", err, out, patches)
	}
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment); err != nil {
		t.Fatal(err)
	}
	if got := deployment.Spec.Template.Spec.Containers[0].ReadinessProbe.HTTPGet.Port.String(); got != "http" {
		t.Errorf("patched, the probe asks port %q", got)
	}
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := cluster.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func owned(by client.Object, kind string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: by.GetName(), UID: by.GetUID(), Controller: new(true)}}
}

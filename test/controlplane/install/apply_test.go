package install

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/cli/exit"
)

// TestInstall installs, and then has the operator do what it was installed for.
func TestInstall(t *testing.T) {
	if t.Run("applies", testApply); t.Failed() {
		return
	}
	t.Run("grants what the operator uses", testRights)
}

// testApply installs into a namespace where a Kuberhealthy of Helm's left its Service, and once more over
// itself.
func testApply(t *testing.T) {
	c := newClient(t)
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "kuberhealthy", Labels: map[string]string{"app": "kuberhealthy"}},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": "kuberhealthy"},
				Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
			},
		},
	} {
		if err := c.Create(t.Context(), o, client.FieldOwner("helm")); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errOut := install(t, c)
	if code != exit.Usage || !strings.Contains(errOut, "Service kuberhealthy/kuberhealthy is somebody else's too") || !strings.Contains(errOut, "--force-conflicts") {
		t.Fatalf("over another's Service: exit code %d, want %d; printed:\n%s\nand said %q", code, exit.Usage, out, errOut)
	}
	for _, again := range []string{"first", "again"} {
		code, out, errOut = install(t, c, "--force-conflicts")
		if code != exit.OK || errOut != "" || !strings.HasSuffix(out, "ready    Deployment kuberhealthy/maek-operator\n") {
			t.Fatalf("%s: exit code %d; printed:\n%s\nand said %q", again, code, out, errOut)
		}
	}
	var service corev1.Service
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "kuberhealthy"}, &service); err != nil {
		t.Fatal(err)
	}
	if _, theirs := service.Spec.Selector["app"]; theirs || len(service.Spec.Ports) != 1 || service.Spec.Ports[0].TargetPort.StrVal != "http" {
		t.Errorf("the Service selects %v and leads to %+v", service.Spec.Selector, service.Spec.Ports)
	}
	var checks khv1.KuberhealthyCheckList
	if err := c.List(t.Context(), &checks, client.InNamespace(namespace)); err != nil || len(checks.Items) != 3 {
		t.Errorf("%d checks, %v", len(checks.Items), err)
	}
}

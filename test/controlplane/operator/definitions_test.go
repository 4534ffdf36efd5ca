package operator

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// TestDefinitionsComeAndGo starts a replica on an API server that knows none of its kinds, gives it
// version 2's, then version 3's, takes version 2's away and gives them back; and then takes the API
// server itself away for longer than a Lease lasts.
func TestDefinitionsComeAndGo(t *testing.T) {
	bare := &envtest.Environment{}
	config, err := bare.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bare.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	c := newClient(t, config)
	namespace := newNamespace(t, c)
	r := start(t, config, namespace, "a")
	waitFor(t, "a replica without any kind is ready", 30*time.Second, func() bool { return r.get(t, "/readyz") == 200 && r.op.Standing().Able })

	gated := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gated"}, Spec: corev1.PodSpec{
		Containers:     []corev1.Container{{Name: "web", Image: "example.com/web"}},
		ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}},
	}}
	create(t, c, gated)
	waitFor(t, "a pod that names the readiness gate does not wait for Checks", 30*time.Second, func() bool {
		err := c.Get(t.Context(), client.ObjectKeyFromObject(gated), gated)
		return err == nil && slices.ContainsFunc(gated.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == v1alpha1.ReadinessGateInService && c.Status == corev1.ConditionTrue && c.Reason == "NoVerdict"
		})
	})

	install(t, config, "comcast.github.io")
	create(t, c, newCheck(namespace, "first", "10m", "5m"))
	waitFor(t, "version 2's check runs", 30*time.Second, func() bool { return begun(t, c, namespace)["first"] != "" })

	install(t, config, "kuberhealthy.github.io")
	create(t, c, newHealthCheck(namespace, "third"))
	waitFor(t, "version 3's check runs beside it", 30*time.Second, func() bool { return healthCheckRuns(t, c, namespace, "third") })

	removeDefinitions(t, c, "comcast.github.io")
	waitFor(t, "the replica sees that they are gone", 30*time.Second, func() bool {
		return strings.Count(r.log.String(), "a kind is not served any more") == 3
	})
	create(t, c, newHealthCheck(namespace, "fourth"))
	waitFor(t, "version 3's checks run on without them", 30*time.Second, func() bool { return healthCheckRuns(t, c, namespace, "fourth") })

	install(t, config, "comcast.github.io")
	create(t, c, newCheck(namespace, "second", "10m", "5m"))
	waitFor(t, "version 2's checks run again", 30*time.Second, func() bool { return begun(t, c, namespace)["second"] != "" })
	if lines := repeated(r.log.String()); lines != "" {
		t.Errorf("the log says again and again: %s", lines)
	}

	// An API server of envtest that is started again is another one, with other certificates.
	r.wire.Cut()
	waitFor(t, "the replica knows that it owns nothing", 20*time.Second, func() bool { return !r.op.Standing().Able })
	if r.get(t, "/healthz") != 200 || r.get(t, "/readyz") != 200 || r.get(t, "/json") != 200 {
		t.Error("the replica is not alive, ready and telling what it knows while the API server is away")
	}
	r.wire.Mend()
	waitFor(t, "the replica has its Lease again", 30*time.Second, func() bool { return r.op.Standing().Able })
	create(t, c, newHealthCheck(namespace, "fifth"))
	waitFor(t, "checks run again", 90*time.Second, func() bool { return healthCheckRuns(t, c, namespace, "fifth") })
	if lines := repeated(r.log.String()); lines != "" {
		t.Errorf("the log says again and again: %s", lines)
	}
	select {
	case <-r.ended:
		t.Errorf("the replica ended: %v", r.err)
	default:
	}
}

func newHealthCheck(namespace, name string) *khv2.HealthCheck {
	return &khv2.HealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: khv2.HealthCheckSpec{
			RunInterval: "10m", Timeout: "5m", PodSpec: khv2.CheckPodSpec{Spec: runtime.RawExtension{Raw: []byte(checkerPod)}},
		},
	}
}

func healthCheckRuns(t *testing.T, c client.Client, namespace, name string) bool {
	t.Helper()
	var check khv2.HealthCheck
	err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &check)
	return err == nil && check.Status.CurrentUUID != ""
}

// create makes an object as soon as its kind is served: a definition is established some moments before.
func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	waitFor(t, "making "+object.GetName(), 20*time.Second, func() bool { return c.Create(t.Context(), object) == nil })
}

func install(t *testing.T, config *rest.Config, prefix string) {
	t.Helper()
	options := envtest.CRDInstallOptions{Paths: readDefinitions(t, prefix), ErrorIfPathMissing: true}
	if _, err := envtest.InstallCRDs(config, options); err != nil {
		t.Fatal(err)
	}
}

func removeDefinitions(t *testing.T, c client.Client, group string) {
	t.Helper()
	var all apiextensionsv1.CustomResourceDefinitionList
	if err := c.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all.Items {
		if all.Items[i].Spec.Group == group {
			if err := c.Delete(t.Context(), &all.Items[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// repeated returns a line that a log has more than thrice, times and addresses aside.
func repeated(log string) string {
	times := map[string]int{}
	for line := range strings.Lines(log) {
		_, said, _ := strings.Cut(line, "msg=")
		said, _, _ = strings.Cut(said, " error=")
		if times[said]++; times[said] > 3 && !strings.Contains(said, "replicas share") && !strings.Contains(said, "serves other kinds") {
			return said
		}
	}
	return ""
}

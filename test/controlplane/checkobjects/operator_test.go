package checkobjects

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator"
	"github.com/maek-dev/maek/internal/statuspage"
	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// operate runs a whole replica of the operator, with all parts as they are wired.
func operate(t *testing.T, config *rest.Config, namespace, pod string) (stop func(), address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	_ = listener.Close() // the operator opens it again
	config = rest.CopyConfig(config)
	o := operator.Options{
		Config: config, Namespace: namespace, Pod: pod, Version: "test", Listen: address, Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)).With("replica", pod),
		Getenv: func(name string) string {
			return map[string]string{"TARGET_NAMESPACE": namespace, "POD_NAMESPACE": namespace}[name]
		},
	}
	op, err := operator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	page := statuspage.New(statuspage.Options{
		Board: op, Standing: op.Standing, Reporter: op, Runner: op, Cluster: statuspage.NewCluster(op.Core()),
		Settings: func() statuspage.Settings { return statuspage.Settings{Compatibility: true} },
		Metrics:  op.Metrics(), Clock: o.Clock, Log: o.Log,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := op.Run(ctx, page.Server); err != nil {
			t.Errorf("the operator ended: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop, address
}

// behind makes a Service with one ready endpoint: a pod of the check's namespace at an address.
func behind(t *testing.T, c client.Client, namespace, name string, port int32, ready bool) {
	t.Helper()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(port)}}},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: new(port)}},
	}
	if ready {
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.1.2.3"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}}}
	}
	for _, o := range []client.Object{service, slice} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOperatorRunsChecks runs Checks by the operator as it is: what may not be asked is refused, what is not
// there fails, and the page tells of both.
func TestOperatorRunsChecks(t *testing.T) {
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	server := serve(t)
	behind(t, c, namespace, "web", 8080, false)
	_, address := operate(t, admin, namespace, "maek-operator-0")
	loopback := create(t, c, server.newCheck(namespace, "loopback"))
	empty := server.newCheck(namespace, "empty")
	empty.Spec.HTTPGet.Host = ""
	empty.Spec.HTTPGet.Port = intstr.FromString("http")
	empty.Spec.Target = &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "web", Mode: v1alpha1.TargetEach}}
	waitForConditions(t, c, create(t, c, empty), "Ready=True/Running Healthy=False/NoEndpoints Stalled=False/Accepted", soon)
	waitFor(t, "the loopback is refused", soon, func() bool {
		return strings.HasPrefix(conditions(statusOf(t, c, loopback)), "Ready=False/Stalled Healthy=Unknown/Stalled Stalled=True/")
	})
	if n := server.asked.Load(); n != 0 {
		t.Errorf("a server on the loopback was asked %d times", n)
	}
	agents := server.newCheck(namespace, "agents")
	agents.Spec.HTTPGet.Host, agents.Spec.HTTPGet.Port = "", intstr.FromString("http")
	agents.Spec.Target = empty.Spec.Target.DeepCopy()
	agents.Spec.From = v1alpha1.FromNodes
	create(t, c, agents)
	waitFor(t, "the metrics tell of them", soon, func() bool {
		text := metricsOf(t, address)
		return strings.Contains(text, `maek_check_healthy{check="empty",namespace="`+namespace+`"} 0`) &&
			strings.Contains(text, `maek_check_unknown{check="loopback",namespace="`+namespace+`"} 1`) &&
			strings.Contains(text, `maek_check_results_total{check="empty",namespace="`+namespace+`",result="failure"}`)
	})
}

// TestWithoutPolicies runs Checks on a cluster that has no CheckPolicies, as after an update of the operator alone:
// what needs none runs, what needs one is refused, and a policy counts once there can be one.
func TestWithoutPolicies(t *testing.T) {
	file := filepath.Join(definitions, "maek.dev_checkpolicies.yaml")
	if err := envtest.UninstallCRDs(admin, envtest.CRDInstallOptions{Paths: []string{file}}); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if _, err := envtest.InstallCRDs(admin, envtest.CRDInstallOptions{Paths: []string{file}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(restore)
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	behind(t, c, namespace, "web", 8080, false)
	operate(t, admin, namespace, "maek-operator-0")
	own := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "own"}}
	own.Spec.PeriodSeconds = 1
	own.Spec.HTTPGet = &corev1.HTTPGetAction{Port: intstr.FromString("http")}
	own.Spec.Target = &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "web"}}
	// An address for documentation (RFC 5737), which nobody has.
	far := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "far"}}
	far.Spec.PeriodSeconds, far.Spec.FailureThreshold = 2, 1
	far.Spec.TCPSocket = &corev1.TCPSocketAction{Port: intstr.FromInt32(80), Host: "192.0.2.1"}
	ownName, farName := create(t, c, own), create(t, c, far)
	waitForConditions(t, c, ownName, "Ready=True/Running Healthy=False/NoEndpoints Stalled=False/Accepted", soon)
	waitForConditions(t, c, farName, "Ready=False/Stalled Healthy=Unknown/Stalled Stalled=True/NotAllowed", soon)
	restore()
	policy := &v1alpha1.CheckPolicy{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	policy.Spec.NamespaceSelector.MatchLabels = map[string]string{corev1.LabelMetadataName: namespace}
	policy.Spec.Hosts = append(policy.Spec.Hosts, "192.0.2.1")
	if err := c.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the policy counts", time.Minute, func() bool {
		got := conditions(statusOf(t, c, farName))
		return strings.HasPrefix(got, "Ready=True/Running Healthy=False/") && strings.HasSuffix(got, "Stalled=False/Accepted")
	})
}

func metricsOf(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	return string(text)
}

// TestOperatorThroughAnOutage takes the API server away from two replicas and gives it back.
func TestOperatorThroughAnOutage(t *testing.T) {
	line := &apiserver.Wire{}
	config := rest.CopyConfig(admin)
	config.Dial = line.Dial
	c := newClient(t, admin)
	namespace := newNamespace(t, c)
	behind(t, c, namespace, "web", 8080, false)
	operate(t, config, namespace, "maek-operator-0")
	operate(t, config, namespace, "maek-operator-1")
	var names []types.NamespacedName
	for i := range 6 {
		check := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("empty-%d", i)}}
		check.Spec.PeriodSeconds = 1
		check.Spec.HTTPGet = &corev1.HTTPGetAction{Port: intstr.FromString("http")}
		check.Spec.Target = &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "web"}}
		names = append(names, create(t, c, check))
	}
	const none = "Ready=True/Running Healthy=False/NoEndpoints Stalled=False/Accepted"
	observers := map[string]bool{}
	for _, name := range names {
		observers[waitForConditions(t, c, name, none, soon).Observer] = true
	}
	t.Logf("observers: %v", observers)
	line.Cut()
	// Longer than a Lease lasts.
	<-clock.RealClock{}.After(12 * time.Second)
	line.Mend()
	for _, name := range names {
		status := waitForConditions(t, c, name, none, soon)
		if len(status.Transitions) != 1 {
			t.Errorf("%s: an outage of the API server made transitions: %+v", name.Name, status.Transitions)
		}
	}
	// What is made then is run by one of them.
	check := &v1alpha1.Check{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "late"}}
	check.Spec.PeriodSeconds = 1
	check.Spec.HTTPGet = &corev1.HTTPGetAction{Port: intstr.FromString("http")}
	check.Spec.Target = &v1alpha1.CheckTarget{Service: &v1alpha1.ServiceTarget{Name: "web"}}
	waitForConditions(t, c, create(t, c, check), none, time.Minute)
}

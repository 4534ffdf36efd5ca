package target_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/target"
	"github.com/maek-dev/maek/internal/probe"
)

// cluster is what every world has: the API server, its machine, another one, DNS, and two namespaces.
const cluster = `
kind: Service
metadata: {namespace: default, name: kubernetes}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: https, port: 443}]}
---
kind: EndpointSlice
metadata: {namespace: default, name: kubernetes, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints: [{addresses: [192.168.0.10]}]
ports: [{name: https, port: 6443}]
---
kind: Service
metadata: {namespace: kube-system, name: kube-dns}
spec: {clusterIP: 10.96.0.10, ports: [{name: dns, port: 53, protocol: UDP}]}
---
kind: Node
metadata: {name: master, labels: {role: master}}
status: {addresses: [{type: InternalIP, address: 192.168.0.10}, {type: Hostname, address: master}]}
---
kind: Node
metadata: {name: worker}
status: {addresses: [{type: InternalIP, address: 192.168.0.11}, {type: ExternalIP, address: 203.0.113.11}]}
---
kind: Namespace
metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop, team: shop}}
---
kind: Namespace
metadata: {name: other, labels: {kubernetes.io/metadata.name: other}}
`

// shop is a namespace with a Service of two pods.
const shop = `
kind: Pod
metadata: {namespace: shop, name: cart-a, uid: a, labels: {app: cart}}
spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}, {name: admin, containerPort: 9000}]}, {name: side, ports: [{name: side, containerPort: 7000}]}]}
status: {phase: Running, podIP: 10.0.0.5, podIPs: [{ip: 10.0.0.5}]}
---
kind: Pod
metadata: {namespace: shop, name: cart-b, uid: b, labels: {app: cart}}
spec: {containers: [{name: web, ports: [{name: http, containerPort: 8081}]}]}
status: {phase: Running, podIP: 10.0.0.6, podIPs: [{ip: 10.0.0.6}]}
---
kind: Pod
metadata: {namespace: shop, name: cart-waits, uid: w, labels: {app: cart}}
spec: {containers: [{name: web}]}
status: {phase: Pending}
---
kind: Service
metadata: {namespace: shop, name: cart}
spec: {clusterIP: 10.96.1.1, selector: {app: cart}, ports: [{name: web, port: 80, targetPort: http}, {name: dns, port: 53, protocol: UDP}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: cart-1, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: web, port: 8080}]
endpoints: [{addresses: [10.0.0.5], conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: cart-a, uid: a}}]
---
kind: EndpointSlice
metadata: {namespace: shop, name: cart-2, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: web, port: 8081}]
endpoints: [{addresses: [10.0.0.6], conditions: {ready: true}, targetRef: {kind: Pod, namespace: shop, name: cart-b, uid: b}}]
`

// policyFor is a CheckPolicy for namespace shop.
func policyFor(fields string) string {
	return "\n---\nkind: CheckPolicy\nmetadata: {name: p}\nspec: {namespaceSelector: {matchLabels: {team: shop}}, " + fields + "}\n"
}

var kinds = map[string]func() client.Object{
	"Pod":           func() client.Object { return &corev1.Pod{} },
	"Service":       func() client.Object { return &corev1.Service{} },
	"Node":          func() client.Object { return &corev1.Node{} },
	"Namespace":     func() client.Object { return &corev1.Namespace{} },
	"EndpointSlice": func() client.Object { return &discoveryv1.EndpointSlice{} },
	"Ingress":       func() client.Object { return &networkingv1.Ingress{} },
	"CheckPolicy":   func() client.Object { return &v1alpha1.CheckPolicy{} },
	"Secret":        func() client.Object { return &corev1.Secret{} },
	"ConfigMap":     func() client.Object { return &corev1.ConfigMap{} },
}

// began is when every world begins.
var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sharedScheme is made once: that takes longer than most tests.
var sharedScheme = sync.OnceValues(func() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
})

// world is a cluster in which checks are resolved. Names and connections are the test's.
type world struct {
	client.Client
	*target.Resolver
	names  func(host string) []string
	routes map[string]string

	mu      sync.Mutex
	now     time.Time
	dialled []string
	// readErr is what reading Secrets and ConfigMaps comes to; nil for what is there.
	readErr error
	reads   int
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T, objects ...string) *world {
	t.Helper()
	return newWorldRunning(t, nil, objects...)
}

// newWorldRunning is a world in which commands can be run.
func newWorldRunning(t *testing.T, run probe.Runner, objects ...string) *world {
	t.Helper()
	scheme, err := sharedScheme()
	if err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	for document := range strings.SplitSeq(cluster+"\n---\n"+strings.Join(objects, "\n---\n"), "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var head struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		create, known := kinds[head.Kind]
		if !known {
			t.Fatalf("no kind in %s", document)
		}
		object := create()
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
	w := &world{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(all...).Build(),
		now:    began, routes: map[string]string{},
	}
	w.Resolver = target.New(target.Options{
		Reader: w.Client, Now: w.clock, Lookup: w.lookup, Dial: w.dial, ClusterDomain: "cluster.local", Version: "1",
		Run: run, ServiceAccount: client.ObjectKey{Namespace: "maek-system", Name: "maek-operator"},
		Secret: func(ctx context.Context, name client.ObjectKey) (*corev1.Secret, error) {
			return read(ctx, w, name, &corev1.Secret{})
		},
		ConfigMap: func(ctx context.Context, name client.ObjectKey) (*corev1.ConfigMap, error) {
			return read(ctx, w, name, &corev1.ConfigMap{})
		},
	})
	return w
}

func read[T client.Object](ctx context.Context, w *world, name client.ObjectKey, object T) (T, error) {
	w.mu.Lock()
	w.reads++
	err := w.readErr
	w.mu.Unlock()
	if err != nil {
		return object, err
	}
	return object, w.Get(ctx, name, object)
}

func (w *world) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	if !strings.HasSuffix(host, ".") {
		return nil, fmt.Errorf("%s is looked up with search domains", host)
	}
	var found []string
	if w.names != nil {
		found = w.names(host)
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var all []netip.Addr
	for _, text := range found {
		all = append(all, netip.MustParseAddr(text))
	}
	return all, nil
}

// dial stands for the network: what is not routed to a listener of the test refuses.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, address)
	to, found := w.routes[address]
	w.mu.Unlock()
	if !found {
		return nil, errRefused
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

var errRefused = errors.New("connect: connection refused")

func newCheck(t *testing.T, spec string) *v1alpha1.Check {
	t.Helper()
	check := &v1alpha1.Check{}
	check.Namespace, check.Name = "shop", "check"
	if err := yaml.UnmarshalStrict([]byte(spec), &check.Spec); err != nil {
		t.Fatalf("spec of the test case: %v", err)
	}
	return check
}

// refusal is an error's text with its kind and reason, for comparisons.
func refusal(err error) string {
	if refused, ok := errors.AsType[*plan.Refusal](err); ok {
		return "Refusal " + refused.Reason + ": " + refused.Message
	}
	if empty, ok := errors.AsType[*plan.Empty](err); ok {
		return fmt.Sprintf("Empty %v %s: %s", empty.Failure, empty.Reason, empty.Message)
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return ""
}

func forbiddenError() error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "s", errors.New("no RoleBinding"))
}

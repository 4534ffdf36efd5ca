package target_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/target"
	"github.com/maek-dev/maek/internal/probe"
)

// ask resolves a check of one target, and asks it as the operator would.
func ask(t *testing.T, w *world, spec string, run uint64) probe.Outcome {
	t.Helper()
	questions, err := w.Resolve(t.Context(), newCheck(t, spec), run)
	if err != nil {
		t.Fatal(refusal(err))
	}
	return attempt(t, questions[0])
}

func attempt(t *testing.T, question plan.Question) probe.Outcome {
	t.Helper()
	return probe.New(question.Options).Probe(t.Context(), question.Probe, 10*time.Second)
}

func TestNamesAreGuardedByWhatTheyTurnOutToBe(t *testing.T) {
	tests := map[string]struct {
		policy  string
		answers []string
		want    string
		dialled []string
	}{
		"an allowed name is asked wherever it is":      {`hosts: [evil.example.com]`, []string{"10.0.9.9"}, "error: ", []string{"10.0.9.9:80"}},
		"an allowed name that turns out loopback":      {`hosts: [evil.example.com]`, []string{"127.0.0.1"}, "Refusal NotAllowed: evil.example.com (127.0.0.1) is not asked: it is a loopback", nil},
		"an allowed name that turns out metadata":      {`hosts: [evil.example.com]`, []string{"::ffff:169.254.169.254"}, "Refusal NotAllowed: evil.example.com (169.254.169.254)", nil},
		"an allowed name that turns out a node":        {`hosts: [evil.example.com]`, []string{"192.168.0.11"}, "Refusal NotAllowed: evil.example.com (192.168.0.11) is not asked: it is a node's address", nil},
		"a wildcard that turns out the API server":     {`hosts: ["*.example.com"]`, []string{"10.96.0.1"}, "Refusal NotAllowed: evil.example.com (10.96.0.1) is not asked: it is the API server's", nil},
		"a name of its own that is the API server":     {`hosts: [evil.example.com]`, []string{"10.96.0.1"}, "error: ", []string{"10.96.0.1:80"}},
		"a name that is nowhere allowed to be":         {`hosts: [10.20.0.0/16]`, []string{"10.21.0.1"}, "Refusal NotAllowed: evil.example.com (10.21.0.1) is not asked: it is not of the check's namespace", nil},
		"a name that is in a network which is allowed": {`hosts: [10.20.0.0/16]`, []string{"10.20.0.1"}, "error: ", []string{"10.20.0.1:80"}},
		"a name that is nothing":                       {`hosts: [evil.example.com]`, nil, "error: ", nil},
		"one address for each run, of one family":      {`hosts: [evil.example.com]`, []string{"2001:db8::2", "10.0.9.9", "2001:db8::1"}, "error: ", []string{"[2001:db8::1]:80"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, policyFor(tc.policy))
			w.names = func(string) []string { return tc.answers }
			got := ask(t, w, `{target: {url: "http://evil.example.com"}}`, 0)
			if text := refusal(got.Err); !strings.HasPrefix(text, tc.want) || got.Strict.Passed() {
				t.Errorf("got %q, want %q", text, tc.want)
			}
			if diff := cmp.Diff(tc.dialled, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

// A name is good when it is looked up first, and bad when a redirect has it looked up again.
func TestRebindingLeadsNowhere(t *testing.T) {
	w := newWorld(t, policyFor(`hosts: [evil.example.com]`))
	asked := 0
	w.names = func(string) []string {
		asked++
		if asked == 1 {
			return []string{"203.0.113.5"}
		}
		return []string{"169.254.169.254"}
	}
	server := httptest.NewServer(http.RedirectHandler("http://evil.example.com/latest/meta-data/", http.StatusFound))
	defer server.Close()
	w.routes["203.0.113.5:80"] = server.Listener.Addr().String()
	got := ask(t, w, `{target: {url: "http://evil.example.com"}}`, 0)
	if text := refusal(got.Err); !strings.HasPrefix(text, "Refusal NotAllowed: evil.example.com (169.254.169.254)") {
		t.Errorf("got %q: %+v", text, got.Strict)
	}
	if diff := cmp.Diff([]string{"203.0.113.5:80"}, w.dialled); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

// redirecting is a server that sends everybody on.
func redirecting(t *testing.T, to string) string {
	t.Helper()
	server := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestRedirects(t *testing.T) {
	fine := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer fine.Close()
	const ingress = "kind: Ingress\nmetadata: {namespace: shop, name: i}\nspec: {rules: [{host: shop.example.com}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.168.0.11}]}}"
	tests := map[string]struct {
		spec, objects, at, to string
		want                  string
		dialled               []string
	}{
		"another port of an own pod": {
			`{httpGet: {port: http}, target: {pods: {selector: {matchLabels: {app: cart}}}}}`, "", "10.0.0.5:8080", "http://10.0.0.5:9000/", "", []string{"10.0.0.5:8080", "10.0.0.5:9000"},
		},
		"another port of a node": {
			`{httpGet: {port: 80}, target: {nodes: {mode: Any}}}`, policyFor(`nodes: true`), "192.168.0.10:80", "http://192.168.0.10:10250/",
			"Refusal NotAllowed: 192.168.0.10 is not asked on port 10250",
			[]string{"192.168.0.10:80"},
		},
		"an Ingress from HTTP to HTTPS": {
			`{httpGet: {port: 80}, target: {ingress: {name: i}}}`, ingress, "192.168.0.11:80", "http://shop.example.com:443/", "", []string{"192.168.0.11:80", "192.168.0.11:443"},
		},
		"an Ingress to its machine": {
			`{httpGet: {port: 80}, target: {ingress: {name: i}}}`, ingress, "192.168.0.11:80", "http://shop.example.com:10250/",
			"Refusal NotAllowed: shop.example.com (192.168.0.11) is not asked on port 10250",
			[]string{"192.168.0.11:80"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, tc.objects)
			w.routes[tc.at] = redirecting(t, tc.to)
			for _, address := range []string{"10.0.0.5:9000", "192.168.0.10:10250", "192.168.0.11:443", "192.168.0.11:10250"} {
				w.routes[address] = fine.Listener.Addr().String()
			}
			got := ask(t, w, tc.spec, 0)
			if text := refusal(got.Err); !strings.HasPrefix(text, tc.want) || got.Strict.Passed() != (tc.want == "") {
				t.Errorf("got %q (%s), want %q", text, got.Strict.Message, tc.want)
			}
			if diff := cmp.Diff(tc.dialled, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	w := newWorld(t, shop)
	w.routes["10.0.0.5:8080"] = redirecting(t, "http://169.254.169.254/")
	got := ask(t, w, `{httpGet: {port: http}, target: {pods: {selector: {matchLabels: {app: cart}}}}}`, 0)
	if got.Difference != probe.RedirectedAway || len(w.dialled) != 1 {
		t.Errorf("%+v after %v", got.Strict, w.dialled)
	}
}

func TestWhatChangesBetweenTheQuestionAndTheConnection(t *testing.T) {
	const byPods = `{tcpSocket: {port: http}, target: {pods: {selector: {matchLabels: {app: cart}}}}}`
	tests := map[string]struct {
		spec   string
		change func(ctx context.Context, w *world) error
		want   string
	}{
		"the pod ends": {byPods, func(ctx context.Context, w *world) error {
			return w.Delete(ctx, podNamed("cart-a"))
		}, "Empty false PodGone: pod cart-a no longer has the address 10.0.0.5"},
		"another pod has its name": {byPods, func(ctx context.Context, w *world) error {
			if err := w.Delete(ctx, podNamed("cart-a")); err != nil {
				return err
			}
			pod := podNamed("cart-a")
			pod.UID, pod.Status.PodIP = "new", "10.0.0.5"
			return w.Create(ctx, pod)
		}, "Empty false PodGone"},
		"its address becomes a node's": {byPods, func(ctx context.Context, w *world) error {
			return w.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Address: "10.0.0.5"}}}})
		}, "Refusal NotAllowed: 10.0.0.5 is not asked: it is a node's address"},
		"the policy is taken back": {`{target: {url: "http://203.0.113.5/"}}`, func(ctx context.Context, w *world) error {
			return w.DeleteAllOf(ctx, &v1alpha1.CheckPolicy{})
		}, "Refusal NotAllowed: 203.0.113.5 is not asked: it is not of the check's namespace"},
		"the namespace goes": {`{target: {url: "http://203.0.113.5/"}}`, func(ctx context.Context, w *world) error {
			return w.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
		}, "Empty false NotAsked: whether the target may be asked could not be told"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, policyFor(`hosts: [203.0.113.5]`))
			questions, err := w.Resolve(t.Context(), newCheck(t, tc.spec), 0)
			if err != nil {
				t.Fatal(refusal(err))
			}
			if err := tc.change(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Second)
			got := attempt(t, questions[0])
			if text := refusal(got.Err); !strings.HasPrefix(text, tc.want) {
				t.Errorf("got %q, want %q", text, tc.want)
			}
			if len(w.dialled) > 0 {
				t.Errorf("it connected to %v", w.dialled)
			}
		})
	}
}

func podNamed(name string) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = "shop", name
	return pod
}

func TestNothingIsAskedWhereNobodyKnowsTheAPIServer(t *testing.T) {
	w := newWorld(t, shop)
	if err := w.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: http}, target: {pods: {selector: {}}}}`), 0)
	if !strings.HasPrefix(refusal(err), "error: reading Service default/kubernetes") {
		t.Errorf("got %q", refusal(err))
	}
}

// uncached is a cache that has no informer for CheckPolicies.
type uncached struct{ client.Reader }

func (u uncached) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, policies := list.(*v1alpha1.CheckPolicyList); policies {
		return &cache.ErrResourceNotCached{}
	}
	return u.Reader.List(ctx, list, options...)
}

func TestWithoutCheckPoliciesNothingMoreIsAllowed(t *testing.T) {
	w := newWorld(t, shop, policyFor(`hosts: [example.com]`))
	resolver := target.New(target.Options{Reader: uncached{w.Client}, Now: w.clock, Lookup: w.lookup, Dial: w.dial, ClusterDomain: "cluster.local"})
	if _, err := resolver.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: http}, target: {pods: {selector: {}}}}`), 0); err != nil {
		t.Errorf("the namespace's own pods: %s", refusal(err))
	}
	_, err := resolver.Resolve(t.Context(), newCheck(t, `{target: {url: "http://example.com"}}`), 0)
	if !strings.HasPrefix(refusal(err), "Refusal NotAllowed: example.com") {
		t.Errorf("another host: %s", refusal(err))
	}
}

func TestADialToAnotherHostIsRefused(t *testing.T) {
	w := newWorld(t, shop)
	questions, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: web}, target: {service: {name: cart}}}`), 0)
	if err != nil {
		t.Fatal(refusal(err))
	}
	for _, address := range []string{"10.96.1.1:80", "cart.other.svc:80", "nonsense", "cart.shop.svc:http"} {
		conn, err := questions[0].Options.Dial(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s was connected to", address)
		}
	}
	if len(w.dialled) > 0 {
		t.Errorf("it connected to %v", w.dialled)
	}
}

func TestEndpointsThatEndAreAskedWhereNothingElseIs(t *testing.T) {
	w := newWorld(t, shop)
	var list discoveryv1.EndpointSliceList
	if err := w.List(t.Context(), &list, client.InNamespace("shop")); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		list.Items[i].Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
		if err := w.Update(t.Context(), &list.Items[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: web}, target: {service: {name: cart}}}`), 0); err != nil {
		t.Errorf("the Service's own address: %s", refusal(err))
	}
	_, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: web}, target: {service: {name: cart, mode: Each}}}`), 0)
	if !strings.HasPrefix(refusal(err), "Empty true NoEndpoints") {
		t.Errorf("each ready endpoint: %s", refusal(err))
	}
}

// TestDNSThroughTheGuard also holds the guard's connections over UDP.
func TestDNSThroughTheGuard(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			packet[2], packet[3] = 0x81, 0x83 // an answer: there is no such name
			_, _ = server.WriteTo(packet[:n], from)
		}
	}()
	w := newWorld(t, shop)
	w.routes["10.96.0.10:53"] = server.LocalAddr().String()
	if got := ask(t, w, `{dns: {name: nothing.example}}`, 0); got.Cause != probe.NameNotFound {
		t.Errorf("%+v", got)
	}
}

package target_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/probe"
)

// twoPorts is a Service whose first port is of its own pods, and whose other ports somebody's EndpointSlices
// lead elsewhere.
const twoPorts = `
kind: Service
metadata: {namespace: shop, name: front}
spec: {clusterIP: 10.96.1.2, ports: [{name: web, port: 80}, {name: more, port: 81}, {name: out, port: 82}, {name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: front-web, labels: {kubernetes.io/service-name: front}}
addressType: IPv4
ports: [{name: web, port: 8080}, {name: more, port: 9000}, {name: dns, port: 53, protocol: UDP}]
endpoints: [{addresses: [10.0.0.5], targetRef: {kind: Pod, namespace: shop, name: cart-a, uid: a}}]
---
kind: EndpointSlice
metadata: {namespace: shop, name: front-out, labels: {kubernetes.io/service-name: front}}
addressType: IPv4
ports: [{name: out, port: 10250}, {name: dns-tcp, port: 2379}]
endpoints: [{addresses: [192.168.0.11]}]
`

func TestWhoIsBehindTheOtherPortsOfAService(t *testing.T) {
	tests := map[string]struct {
		to, want string
		dialled  []string
	}{
		"another port of own pods": {"http://front.shop.svc:81/", "", []string{"10.96.1.2:80", "10.96.1.2:81"}},
		"a port that leads to a node": {
			"http://front.shop.svc:82/", "Refusal NotAllowed: Service front has an endpoint that is no pod of its namespace: 192.168.0.11 is not asked: it is a node's address",
			[]string{"10.96.1.2:80"},
		},
		"a port that the Service has not": {"http://front.shop.svc:83/", "error: Get \"http://front.shop.svc:83/\": Service front has no TCP port 83", []string{"10.96.1.2:80"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, twoPorts)
			w.routes["10.96.1.2:80"] = redirecting(t, tc.to)
			fine := listening(t, func(http.ResponseWriter, *http.Request) {})
			w.routes["10.96.1.2:81"], w.routes["10.96.1.2:82"], w.routes["10.96.1.2:83"] = fine, fine, fine
			got := ask(t, w, `{httpGet: {port: 80}, target: {service: {name: front}}}`, 0)
			if text := refusal(got.Err); !strings.HasPrefix(text, tc.want) || got.Strict.Passed() != (tc.want == "") {
				t.Errorf("got %q (%s), want %q", text, got.Strict.Message, tc.want)
			}
			if diff := cmp.Diff(tc.dialled, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

// The pod answers slowly, and until it does its Service leads elsewhere.
func TestAServiceThatChangesWhileItIsAsked(t *testing.T) {
	tests := map[string]struct {
		change func(ctx context.Context, w *world) error
		want   string
	}{
		"its endpoints are a node's": {func(ctx context.Context, w *world) error {
			var list discoveryv1.EndpointSlice
			if err := w.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "front-web"}, &list); err != nil {
				return err
			}
			list.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"192.168.0.11"}}}
			return w.Update(ctx, &list)
		}, "Refusal NotAllowed: Service front has an endpoint that is no pod of its namespace: 192.168.0.11"},
		"its pod is no more": {func(ctx context.Context, w *world) error { return w.Delete(ctx, podNamed("cart-a")) }, "Empty false EndpointsUnsettled: Service front may send to 10.0.0.5"},
		"it has another address": {func(ctx context.Context, w *world) error {
			var service corev1.Service
			if err := w.Get(ctx, client.ObjectKey{Namespace: "shop", Name: "front"}, &service); err != nil {
				return err
			}
			service.Spec.ClusterIP = "10.96.1.3"
			return w.Update(ctx, &service)
		}, "Empty false EndpointsUnsettled: Service front no longer has the address 10.96.1.2"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, twoPorts)
			changed := sync.OnceValue(func() error { return tc.change(t.Context(), w) })
			w.routes["10.96.1.2:80"] = listening(t, func(rw http.ResponseWriter, r *http.Request) {
				if err := changed(); err != nil {
					t.Error(err)
				}
				http.Redirect(rw, r, "/again", http.StatusFound)
			})
			got := ask(t, w, `{httpGet: {port: 80}, target: {service: {name: front}}}`, 0)
			if text := refusal(got.Err); !strings.HasPrefix(text, tc.want) || got.Strict.Passed() {
				t.Errorf("got %q (%s), want %q", text, got.Strict.Message, tc.want)
			}
			if diff := cmp.Diff([]string{"10.96.1.2:80"}, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

// A name server says that its answer is too long, and behind its port for TCP is another.
func TestAnAnswerTooLongForUDPLeadsNowhereElse(t *testing.T) {
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(rw dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		answer.Truncated = true
		if err := rw.WriteMsg(answer); err != nil {
			t.Error(err)
		}
	})}
	go func() { _ = server.ActivateAndServe() }()
	defer func() { _ = server.ShutdownContext(context.WithoutCancel(t.Context())) }()
	w := newWorld(t, shop, twoPorts)
	w.routes["10.96.1.2:53"] = conn.LocalAddr().String()
	got := ask(t, w, `{dns: {name: example.com, server: front}}`, 0)
	const want = "Refusal NotAllowed: Service front has an endpoint that is no pod of its namespace: 192.168.0.11"
	if text := refusal(got.Err); !strings.HasPrefix(text, want) || got.Strict.Result != probe.Failure {
		t.Errorf("got %q (%s), want %q", text, got.Strict.Message, want)
	}
	if diff := cmp.Diff([]string{"10.96.1.2:53"}, w.dialled); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

// listening is a server of HTTP.
func listening(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

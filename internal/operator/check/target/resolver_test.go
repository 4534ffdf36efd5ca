package target_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// asked writes questions as one line each: name, probe, addresses.
func asked(questions []plan.Question) []string {
	var lines []string
	for _, q := range questions {
		line := q.Name + ": " + q.Probe.String()
		if len(q.Addresses) > 0 {
			line += " by " + strings.Join(q.Addresses, ",")
		}
		lines = append(lines, line)
	}
	return lines
}

func TestWhomAChecksAsks(t *testing.T) {
	const ingress = `
kind: Ingress
metadata: {namespace: shop, name: shop}
spec: {rules: [{host: Shop.example.com}, {host: "*.api.example.com"}]}
status: {loadBalancer: {ingress: [{ip: 192.168.0.11}, {hostname: lb.example.net}]}}
`
	const headless = `
kind: Service
metadata: {namespace: shop, name: db}
spec: {clusterIP: None, ports: [{name: pg, port: 5432}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: db-1, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: pg, port: 5432}]
endpoints:
- {addresses: [10.0.0.6], targetRef: {kind: Pod, name: cart-b}}
- {addresses: [10.0.0.5], targetRef: {kind: Pod, name: cart-a}}
`
	tests := map[string]struct {
		spec, objects string
		run           uint64
		names         map[string][]string
		want          []string
	}{
		"a Service's own address, under its name": {
			spec: `{httpGet: {path: /healthz, port: web}, target: {service: {name: cart}}}`,
			want: []string{"cart: GET http://cart.shop.svc/healthz by 10.96.1.1:80"},
		},
		"a Service's port by number": {
			spec: `{tcpSocket: {port: 80}, target: {service: {name: cart, mode: Any}}}`,
			want: []string{"cart: TCP connection to cart.shop.svc:80 by 10.96.1.1:80"},
		},
		"each endpoint, with its own port": {
			spec: `{httpGet: {path: /healthz, port: web, scheme: HTTPS}, target: {service: {name: cart, mode: Each}}}`,
			want: []string{"cart-a: GET https://10.0.0.5:8080/healthz by 10.0.0.5:8080", "cart-b: GET https://10.0.0.6:8081/healthz by 10.0.0.6:8081"},
		},
		"a headless Service: another endpoint in each run": {
			spec: `{tcpSocket: {port: pg}, target: {service: {name: db}}}`, objects: headless, run: 1,
			want: []string{"db: TCP connection to db.shop.svc:5432 by 10.0.0.6:5432"},
		},
		"pods by a named port, each its own number": {
			spec: `{grpc: {port: 9000}, target: {pods: {selector: {matchLabels: {app: cart}}}}}`,
			want: []string{"cart-a: gRPC health of 10.0.0.5:9000 by 10.0.0.5:9000", "cart-b: gRPC health of 10.0.0.6:9000 by 10.0.0.6:9000"},
		},
		"pods, of which one has no such port": {
			spec: `{tcpSocket: {port: admin}, target: {pods: {selector: {}}}}`,
			want: []string{
				"cart-a: TCP connection to 10.0.0.5:9000 by 10.0.0.5:9000",
				`cart-b: nothing: container web of pod cart-b has no port "admin"; its ports are http 8081/TCP`,
			},
		},
		"one pod, the second run": {
			spec: `{tcpSocket: {port: http}, target: {pods: {selector: {}, mode: Any}}}`, run: 3,
			want: []string{"cart-b: TCP connection to 10.0.0.6:8081 by 10.0.0.6:8081"},
		},
		"another container's port": {
			spec: `{tcpSocket: {port: side}, target: {pods: {selector: {matchLabels: {app: cart}}, container: side, mode: Any}}}`, run: 2,
			want: []string{"cart-a: TCP connection to 10.0.0.5:7000 by 10.0.0.5:7000"},
		},
		"a host that is a Service": {
			spec: `{httpGet: {port: 80, host: Cart.Shop}}`,
			want: []string{"cart: GET http://cart.shop by 10.96.1.1:80"},
		},
		"a URL of a Service, whole": {
			spec: `{target: {url: "http://cart.shop.svc.cluster.local./a?b=c"}}`,
			want: []string{"cart: GET http://cart.shop.svc.cluster.local/a?b=c by 10.96.1.1:80"},
		},
		"a URL that is allowed": {
			spec: `{target: {url: "https://API.example.com:8443"}}`, objects: policyFor(`hosts: ["*.example.com"]`),
			want: []string{"api.example.com: GET https://api.example.com:8443/"},
		},
		"a name in other letters": {
			spec: `{target: {url: "https://bücher.example/"}}`, objects: policyFor(`hosts: [xn--bcher-kva.example]`),
			want: []string{"xn--bcher-kva.example: GET https://xn--bcher-kva.example/"},
		},
		"an address of IPv6 in a network that is allowed": {
			spec: `{target: {url: "http://[2001:DB8::1]/"}}`, objects: policyFor(`hosts: ["2001:db8::/64"]`),
			want: []string{"2001:db8::1: GET http://[2001:db8::1]:80/ by [2001:db8::1]:80"},
		},
		"a host from nodes: they are told the address": {
			spec: `{tls: {port: 443}, from: nodes, target: {host: example.com}}`, objects: policyFor(`hosts: [example.com]`),
			names: map[string][]string{"example.com.": {"2001:db8::2", "2001:db8::1", "203.0.113.5"}}, run: 1,
			want: []string{"example.com: TLS handshake with example.com:443 by [2001:db8::2]:443"},
		},
		"an Ingress, by its first rule": {
			spec: `{httpGet: {port: 443, scheme: HTTPS}, target: {ingress: {name: shop}}}`, objects: ingress,
			want: []string{"shop.example.com: GET https://shop.example.com by 192.168.0.11:443,192.168.0.11:80"},
		},
		"an Ingress whose balancer has a name": {
			spec: `{httpGet: {port: 80}, target: {ingress: {name: shop, host: v1.api.example.com}}}`, objects: ingress, run: 1,
			want: []string{"v1.api.example.com: GET http://v1.api.example.com"},
		},
		"nodes": {
			spec: `{tcpSocket: {port: 10256}, target: {nodes: {}}}`, objects: policyFor(`nodes: true`),
			want: []string{"master: TCP connection to 192.168.0.10:10256 by 192.168.0.10:10256", "worker: TCP connection to 192.168.0.11:10256 by 192.168.0.11:10256"},
		},
		"the cluster's own DNS": {
			spec: `{dns: {name: cart.shop.svc.cluster.local}}`,
			want: []string{"10.96.0.10: A records of cart.shop.svc.cluster.local. at 10.96.0.10:53 by 10.96.0.10:53"},
		},
		"the cluster's own DNS by its address": {
			spec: `{dns: {name: a, server: 10.96.0.10, port: 53}}`,
			want: []string{"10.96.0.10: A records of a. at 10.96.0.10:53 by 10.96.0.10:53"},
		},
		"the cluster's own DNS by its name": {
			spec: `{dns: {name: a, server: kube-dns.kube-system.svc}}`,
			want: []string{"10.96.0.10: A records of a. at 10.96.0.10:53 by 10.96.0.10:53"},
		},
		"an API server with an entry of its own": {
			spec: `{tcpSocket: {port: 443, host: kubernetes.default.svc}}`, objects: policyFor(`hosts: [kubernetes.default.svc]`),
			want: []string{"kubernetes.default.svc: TCP connection to kubernetes.default.svc:443"},
		},
		"an endpoint that is no pod, and allowed": {
			spec: `{tcpSocket: {port: 80}, target: {service: {name: outside, mode: Each}}}`,
			objects: `
kind: Service
metadata: {namespace: shop, name: outside}
spec: {clusterIP: 10.96.1.2, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: outside, labels: {kubernetes.io/service-name: outside}}
ports: [{port: 8000}]
endpoints: [{addresses: [203.0.113.9]}]
` + policyFor(`hosts: [203.0.113.0/24]`),
			want: []string{"203.0.113.9: TCP connection to 203.0.113.9:8000 by 203.0.113.9:8000"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shop, tc.objects)
			w.names = func(host string) []string { return tc.names[host] }
			questions, err := w.Resolve(t.Context(), newCheck(t, tc.spec), tc.run)
			if err != nil {
				t.Fatal(refusal(err))
			}
			if diff := cmp.Diff(tc.want, asked(questions)); diff != "" {
				t.Errorf("questions (-want +got):\n%s", diff)
			}
			again, err := w.Resolve(t.Context(), newCheck(t, tc.spec), tc.run)
			if diff := cmp.Diff(tc.want, asked(again)); diff != "" || err != nil {
				t.Errorf("asked again, it is not the same: %v\n%s", err, diff)
			}
		})
	}
}

func TestPodsOfAnswersAreNamed(t *testing.T) {
	w := newWorld(t, shop)
	for _, spec := range []string{
		`{tcpSocket: {port: web}, target: {service: {name: cart, mode: Each}}}`,
		`{tcpSocket: {port: http}, target: {pods: {selector: {}}}}`,
	} {
		questions, err := w.Resolve(t.Context(), newCheck(t, spec), 0)
		if err != nil {
			t.Fatal(refusal(err))
		}
		if got := questions[1].Pod; got.Namespace != "shop" || got.Name != "cart-b" || got.UID != "b" {
			t.Errorf("%s: the second question is of pod %+v", spec, got)
		}
	}
}

func TestTooManyTargetsAreRefused(t *testing.T) {
	var pods strings.Builder
	for i := range 501 {
		fmt.Fprintf(&pods, "\n---\nkind: Pod\nmetadata: {namespace: shop, name: p%d}\nspec: {containers: [{name: c}]}\nstatus: {phase: Running, podIP: 10.1.%d.%d}\n", i, i/250, i%250+1)
	}
	w := newWorld(t, pods.String())
	_, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: 80}, target: {pods: {selector: {}}}}`), 0)
	if want := "Refusal TooManyTargets: 501 pods fit target.pods.selector, and a check asks 500 at most; narrow the selector, or write mode: Any"; refusal(err) != want {
		t.Errorf("got %s", refusal(err))
	}
	questions, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: 80}, target: {pods: {selector: {}, mode: Any}}}`), 501)
	if diff := cmp.Diff([]string{"p0: TCP connection to 10.1.0.1:80 by 10.1.0.1:80"}, asked(questions)); diff != "" || err != nil {
		t.Errorf("one of them: %v\n%s", err, diff)
	}
}

// runner is the API server's way to containers.
type runner struct{ err error }

func (r runner) Run(context.Context, probe.Exec, time.Duration) ([]byte, int, error) {
	return []byte("fine"), 0, r.err
}

func TestWhatACommandComesTo(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"it ran":               {nil, ""},
		"it may not":           {forbiddenError(), "Refusal ExecForbidden: namespace shop does not let commands be run in its containers; grant that: kubectl create rolebinding maek-check-exec --clusterrole=maek-check-exec --serviceaccount=maek-system:maek-operator -n shop"},
		"nobody there":         {&net.OpError{Op: "dial", Err: errRefused}, "Empty false NotAsked: the API server did not run the command: dial: connect: connection refused"},
		"it is not there":      {errors.New(`exec: "nope": executable file not found in $PATH`), `error: exec: "nope": executable file not found in $PATH`},
		"it takes ever longer": {probe.ErrCommandTimedOut, "error: command timed out"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorldRunning(t, runner{tc.err}, shop)
			questions, err := w.Resolve(t.Context(), newCheck(t, `{exec: {command: [ls, -l]}, target: {pods: {selector: {}, container: side, mode: Any}}}`), 0)
			if err != nil {
				t.Fatal(refusal(err))
			}
			if diff := cmp.Diff(probe.Exec{Namespace: "shop", Pod: "cart-a", Container: "side", Command: []string{"ls", "-l"}}, questions[0].Probe); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			_, _, err = questions[0].Options.Run.Run(t.Context(), probe.Exec{}, time.Second)
			if got := refusal(err); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
		})
	}
}

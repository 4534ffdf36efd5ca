package target_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// gated is a Service of three pods that name the gate: a ready one, one that was taken out of service and is
// well otherwise, and one whose conditions the cases give.
func gated(conditions string) string {
	const all = `
kind: Pod
metadata: {namespace: shop, name: in, uid: i, labels: {app: gated}}
spec: {containers: [{name: web}], readinessGates: [{conditionType: maek.dev/in-service}]}
status: {phase: Running, podIP: 10.0.1.1, conditions: [{type: Ready, status: "True"}, {type: ContainersReady, status: "True"}, {type: maek.dev/in-service, status: "True"}]}
---
kind: Pod
metadata: {namespace: shop, name: out, uid: o, labels: {app: gated}}
spec: {containers: [{name: web}], readinessGates: [{conditionType: maek.dev/in-service}, {conditionType: example.com/other}]}
status: {phase: Running, podIP: 10.0.1.2, conditions: [CONDITIONS]}
---
kind: Service
metadata: {namespace: shop, name: gated}
spec: {clusterIP: 10.96.1.9, ports: [{name: web, port: 80}]}
---
kind: EndpointSlice
metadata: {namespace: shop, name: gated-1, labels: {kubernetes.io/service-name: gated}}
addressType: IPv4
ports: [{name: web, port: 8080}]
endpoints:
- {addresses: [10.0.1.1], conditions: {ready: IN, serving: IN}, targetRef: {kind: Pod, namespace: shop, name: in, uid: i}}
- {addresses: [10.0.1.2], conditions: {ready: false, serving: false}, targetRef: {kind: Pod, namespace: shop, name: out, uid: o}}
`
	return strings.ReplaceAll(all, "CONDITIONS", conditions)
}

// takenOut are the conditions of a pod that is not ready only because it was taken out of service.
const takenOut = `{type: Ready, status: "False"}, {type: ContainersReady, status: "True"}, {type: example.com/other, status: "True"}, {type: maek.dev/in-service, status: "False"}`

func TestPodsThatAreOutOfServiceAreAskedOn(t *testing.T) {
	const in, out = "in: TCP connection to 10.0.1.1:8080 by 10.0.1.1:8080", "out: TCP connection to 10.0.1.2:8080 by 10.0.1.2:8080"
	tests := map[string]struct {
		conditions, mode string
		inReady          string
		want             []string
		wantReason       string
	}{
		"one that is well but for the gate":           {conditions: takenOut, mode: "Each", want: []string{in, out}},
		"one whose containers are not ready":          {conditions: strings.Replace(takenOut, `ContainersReady, status: "True"`, `ContainersReady, status: "False"`, 1), mode: "Each", want: []string{in}},
		"one whose containers nobody has told of":     {conditions: `{type: maek.dev/in-service, status: "False"}, {type: example.com/other, status: "True"}`, mode: "Each", want: []string{in}},
		"one that another gate holds back too":        {conditions: strings.Replace(takenOut, `other, status: "True"`, `other, status: "False"`, 1), mode: "Each", want: []string{in}},
		"one whose gate nobody has answered yet":      {conditions: `{type: ContainersReady, status: "True"}, {type: example.com/other, status: "True"}`, mode: "Each", want: []string{in}},
		"one that is opened, and no endpoint yet":     {conditions: strings.Replace(takenOut, `in-service, status: "False"`, `in-service, status: "True"`, 1), mode: "Each", want: []string{in}},
		"it makes no endpoint of a Service":           {conditions: takenOut, mode: "Each", inReady: "false", wantReason: "NoEndpoints"},
		"it makes no endpoint for clients of any one": {conditions: takenOut, mode: "Any", inReady: "false", wantReason: "NoEndpoints"},
		"clients of any one are not asked about it":   {conditions: takenOut, mode: "Any", want: []string{"gated: TCP connection to gated.shop.svc:80 by 10.96.1.9:80"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ready := "true"
			if tc.inReady != "" {
				ready = tc.inReady
			}
			w := trim(t, newWorld(t, strings.ReplaceAll(gated(tc.conditions), "IN", ready)))
			got, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: web}, target: {service: {name: gated, mode: `+tc.mode+`}}}`), 0)
			if tc.wantReason != "" {
				empty, ok := errors.AsType[*plan.Empty](err)
				if !ok || empty.Reason != tc.wantReason || !empty.Failure {
					t.Errorf("got %v and %v, want a failure for %s", asked(got), err, tc.wantReason)
				}
				return
			}
			if diff := cmp.Diff(tc.want, asked(got)); diff != "" || err != nil {
				t.Errorf("asked (-want +got): %v\n%s", err, diff)
			}
		})
	}
}

func TestAddressInTwoSlicesCountsAsTheReadyOne(t *testing.T) {
	const moving = `
kind: EndpointSlice
metadata: {namespace: shop, name: cart-0, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: web, port: 8080}]
endpoints: [{addresses: [10.0.0.5], conditions: {ready: false, serving: true}, targetRef: {kind: Pod, namespace: shop, name: cart-a, uid: a}}]
`
	w := newWorld(t, shop, moving)
	got, err := w.Resolve(t.Context(), newCheck(t, `{tcpSocket: {port: web}, target: {service: {name: cart, mode: Each}}}`), 0)
	want := []string{"cart-a: TCP connection to 10.0.0.5:8080 by 10.0.0.5:8080", "cart-b: TCP connection to 10.0.0.6:8081 by 10.0.0.6:8081"}
	if diff := cmp.Diff(want, asked(got)); diff != "" || err != nil {
		t.Errorf("asked (-want +got): %v\n%s", err, diff)
	}
}

package target_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhereAnIngressMayLead holds that who may write the status of an Ingress can have nobody in the cluster asked by it.
func TestWhereAnIngressMayLead(t *testing.T) {
	const (
		inner = " is not asked: the Ingress has an address that is not of the Internet"
		node  = " is not asked: it is a node's address, which needs an entry of its own"
	)
	tests := map[string]struct {
		// balancer is what the status says, answers what a name in it resolves to, and policy what is allowed.
		balancer string
		answers  []string
		policy   string
		// want is the beginning of what is said, after the name that is asked for, and also is in it; empty where the
		// connection is made.
		want, also string
		dialled    []string
	}{
		"an address of the Internet":         {balancer: "ip: 203.0.113.20", dialled: []string{"203.0.113.20:80"}},
		"one of IPv6":                        {balancer: `ip: "2600:1f00::1"`, dialled: []string{"[2600:1f00::1]:80"}},
		"a name on the Internet":             {balancer: "hostname: lb.example.net", answers: []string{"203.0.113.20"}, dialled: []string{"203.0.113.20:80"}},
		"a pod of another namespace":         {balancer: "ip: 10.0.9.9", want: "(10.0.9.9)" + inner, also: `hosts: ["10.0.9.9"]`},
		"a Service":                          {balancer: "ip: 10.96.1.9", want: "(10.96.1.9)" + inner},
		"a private address":                  {balancer: "ip: 172.16.0.1", want: "(172.16.0.1)" + inner},
		"a private address, allowed":         {balancer: "ip: 172.16.0.1", policy: `hosts: [172.16.0.0/16]`, dialled: []string{"172.16.0.1:80"}},
		"a private address, mapped":          {balancer: `ip: "::ffff:10.0.9.9"`, want: "(10.0.9.9)" + inner},
		"a private address, by NAT64":        {balancer: `ip: "64:ff9b::a00:909"`, want: "(64:ff9b::a00:909)" + inner},
		"a private address of IPv6":          {balancer: `ip: "fd12::1"`, want: "(fd12::1)" + inner},
		"an address that providers share":    {balancer: "ip: 100.64.0.1", want: "(100.64.0.1)" + inner},
		"one for tests of networks":          {balancer: "ip: 198.18.0.1", want: "(198.18.0.1)" + inner},
		"one of class E":                     {balancer: "ip: 240.0.0.1", want: "(240.0.0.1)" + inner},
		"an old site-local one":              {balancer: `ip: "fec0::1"`, want: "(fec0::1)" + inner},
		"a name that turns out private":      {balancer: "hostname: lb.example.net", answers: []string{"10.0.9.9"}, want: "(10.0.9.9)" + inner, also: `hosts: ["lb.example.net"]`},
		"a private name, allowed":            {balancer: "hostname: lb.example.net", answers: []string{"10.0.9.9"}, policy: `hosts: ["*.example.net"]`, dialled: []string{"10.0.9.9:80"}},
		"a node":                             {balancer: "ip: 192.168.0.11", want: "(192.168.0.11)" + node, also: `hosts: ["192.168.0.11"]`},
		"a node, by a network":               {balancer: "ip: 192.168.0.11", policy: `hosts: [192.168.0.0/16]`, want: "(192.168.0.11)" + node},
		"a node, by its outer address":       {balancer: "ip: 203.0.113.11", want: "(203.0.113.11)" + node},
		"a node, allowed":                    {balancer: "ip: 192.168.0.11", policy: `hosts: [192.168.0.11]`, dialled: []string{"192.168.0.11:80"}},
		"a node, where they are allowed":     {balancer: "ip: 203.0.113.11", policy: `nodes: true`, dialled: []string{"203.0.113.11:80"}},
		"a name that turns out a node":       {balancer: "hostname: lb.example.net", answers: []string{"192.168.0.11"}, policy: `hosts: ["*.example.net"]`, want: "(192.168.0.11)" + node},
		"metadata":                           {balancer: "ip: 169.254.169.254", policy: `hosts: ["0.0.0.0/0"]`, want: "(169.254.169.254) is not asked: it is a link-local address"},
		"metadata, by its name":              {balancer: "hostname: lb.example.net", answers: []string{"169.254.169.254"}, policy: `hosts: [lb.example.net]`, want: "(169.254.169.254) is not asked: it is a link-local address"},
		"metadata beside the link-local":     {balancer: "ip: 168.63.129.16", want: "(168.63.129.16) is not asked: clouds keep the credentials"},
		"the operator itself":                {balancer: "ip: 127.0.0.1", policy: `hosts: ["0.0.0.0/0"]`, want: "(127.0.0.1) is not asked: it is a loopback address"},
		"the operator itself, by its name":   {balancer: "hostname: localhost", answers: []string{"127.0.0.1"}, want: "(127.0.0.1) is not asked: it is a loopback address"},
		"a pod's name in the cluster's zone": {balancer: "hostname: cart.other.svc.cluster.local", answers: []string{"10.96.1.9"}, want: "(10.96.1.9)" + inner},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			objects := []string{"kind: Ingress\nmetadata: {namespace: shop, name: i}\nspec: {rules: [{host: shop.example.com}]}\nstatus: {loadBalancer: {ingress: [{" + tc.balancer + "}]}}"}
			if tc.policy != "" {
				objects = append(objects, policyFor(tc.policy))
			}
			w := newWorld(t, objects...)
			w.names = func(string) []string { return tc.answers }
			questions, err := w.Resolve(t.Context(), newCheck(t, `{httpGet: {port: 80}, target: {ingress: {name: i}}}`), 0)
			if err == nil {
				err = attempt(t, questions[0]).Err
			}
			got := refusal(err)
			if tc.want == "" {
				if strings.Contains(got, "Refusal") {
					t.Errorf("refused: %s", got)
				}
			} else if !strings.HasPrefix(got, "Refusal NotAllowed: shop.example.com "+tc.want) || !strings.Contains(got, tc.also) {
				t.Errorf("got %q, want %q with %q", got, tc.want, tc.also)
			}
			if diff := cmp.Diff(tc.dialled, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

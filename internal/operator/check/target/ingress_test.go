package target_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhereAnIngressMayLead holds that the status of an Ingress, which controllers write, leads to their load balancers and
// machines, and not to what no policy can allow or needs an entry of its own.
func TestWhereAnIngressMayLead(t *testing.T) {
	tests := map[string]struct {
		// balancer is what the status says, answers what a name in it resolves to, and policy what is allowed.
		balancer string
		answers  []string
		policy   string
		// want is the beginning of what is said, after the name that is asked for; empty where the connection is made.
		want    string
		dialled []string
	}{
		"an address of the Internet":       {balancer: "ip: 203.0.113.20", dialled: []string{"203.0.113.20:80"}},
		"one of IPv6":                      {balancer: `ip: "2600:1f00::1"`, dialled: []string{"[2600:1f00::1]:80"}},
		"a name on the Internet":           {balancer: "hostname: lb.example.net", answers: []string{"203.0.113.20"}, dialled: []string{"203.0.113.20:80"}},
		"a private address":                {balancer: "ip: 172.16.0.1", dialled: []string{"172.16.0.1:80"}},
		"a controller's machine":           {balancer: "ip: 192.168.0.11", dialled: []string{"192.168.0.11:80"}},
		"metadata":                         {balancer: "ip: 169.254.169.254", policy: `hosts: ["0.0.0.0/0"]`, want: "(169.254.169.254) is not asked: it is a link-local address"},
		"metadata, mapped":                 {balancer: `ip: "::ffff:169.254.169.254"`, want: "(169.254.169.254) is not asked: it is a link-local address"},
		"metadata, by its name":            {balancer: "hostname: lb.example.net", answers: []string{"169.254.169.254"}, policy: `hosts: [lb.example.net]`, want: "(169.254.169.254) is not asked: it is a link-local address"},
		"metadata beside the link-local":   {balancer: "ip: 168.63.129.16", want: "(168.63.129.16) is not asked: clouds keep the credentials"},
		"the operator itself":              {balancer: "ip: 127.0.0.1", policy: `hosts: ["0.0.0.0/0"]`, want: "(127.0.0.1) is not asked: it is a loopback address"},
		"the operator itself, by its name": {balancer: "hostname: localhost", answers: []string{"127.0.0.1"}, want: "(127.0.0.1) is not asked: it is a loopback address"},
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
			} else if !strings.HasPrefix(got, "Refusal NotAllowed: shop.example.com "+tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if diff := cmp.Diff(tc.dialled, w.dialled); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
		})
	}
}

package network

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/snapshot"
)

// The pods of the tests: a caller and a server in one namespace, a stranger in another, and a pod of
// its node's network.
var (
	caller   = testPod("shop", "api-0", "10.1.0.5", map[string]string{"app": "api"})
	server   = testPod("shop", "db-0", "10.1.0.9", map[string]string{"app": "db"})
	stranger = testPod("batch", "report-0", "10.1.1.7", map[string]string{"app": "report"})
	onHost   = hostPod(testPod("shop", "agent-0", "192.168.0.4", map[string]string{"app": "api"}))
)

func testPod(namespace, name, ip string, set map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
			{Name: "sql", ContainerPort: 5432, Protocol: corev1.ProtocolTCP}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
		}}}},
		Status: corev1.PodStatus{PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

func hostPod(p *corev1.Pod) *corev1.Pod {
	p.Spec.HostNetwork = true
	return p
}

func TestPoliciesAreEvaluatedAsTheAPIDocumentsThem(t *testing.T) {
	const serverOnly = "podSelector: {matchLabels: {app: db}}\n"
	tests := map[string]struct {
		specs    []string // of NetworkPolicies in namespace shop
		from, to *corev1.Pod
		port     int32
		protocol corev1.Protocol
		want     string // the directions that are denied
	}{
		"without a policy all is allowed":                            {from: stranger, to: server},
		"an empty policy denies what comes in and not what goes out": {specs: []string{"podSelector: {}"}, from: caller, to: server, want: "ingress"},
		"a policy for egress without rules denies what goes out":     {specs: []string{"{podSelector: {}, policyTypes: [Egress]}"}, from: caller, to: server, want: "egress"},
		"both directions are judged on their own":                    {specs: []string{"{podSelector: {}, policyTypes: [Ingress, Egress]}"}, from: caller, to: server, want: "egress ingress"},
		"without policyTypes rules for egress isolate that way too":  {specs: []string{"{podSelector: {matchLabels: {app: api}}, egress: [{ports: [{port: 53, protocol: UDP}]}]}"}, from: caller, to: server, want: "egress"},
		"a pod that no policy selects is not isolated":               {specs: []string{serverOnly}, from: server, to: caller},
		"an empty rule allows all":                                   {specs: []string{serverOnly + "ingress: [{}]"}, from: stranger, to: server},
		"a policy of one namespace does not select pods of another":  {specs: []string{"{podSelector: {}, policyTypes: [Egress]}"}, from: stranger, to: server},
		"a podSelector alone means pods of the policy's namespace":   {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {}}]}]"}, from: stranger, to: server, want: "ingress"},
		"a podSelector allows the pods that it matches":              {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]"}, from: caller, to: server},
		"a podSelector does not allow others":                        {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {matchLabels: {tier: batch}}}]}]"}, from: caller, to: server, want: "ingress"},
		"expressions select too":                                     {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [api, front]}]}}]}]"}, from: caller, to: server},
		"a namespaceSelector alone means every pod there":            {specs: []string{serverOnly + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: night}}}]}]"}, from: stranger, to: server},
		"both selectors in one peer must both match":                 {specs: []string{serverOnly + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: night}}, podSelector: {matchLabels: {app: api}}}]}]"}, from: stranger, to: server, want: "ingress"},
		"selectors in two peers are alternatives":                    {specs: []string{serverOnly + "ingress: [{from: [{namespaceSelector: {matchLabels: {team: night}}}, {podSelector: {matchLabels: {app: api}}}]}]"}, from: stranger, to: server},
		"a namespace is known by its name":                           {specs: []string{serverOnly + "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]"}, from: caller, to: server},
		"an ipBlock means addresses of pods too":                     {specs: []string{serverOnly + "ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]"}, from: caller, to: server},
		"an ipBlock leaves out its exceptions":                       {specs: []string{serverOnly + "ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.0.0/24]}}]}]"}, from: caller, to: server, want: "ingress"},
		"a pod of its node's network is no pod to selectors":         {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]"}, from: onHost, to: server, want: "ingress"},
		"a pod of its node's network is not isolated":                {specs: []string{"{podSelector: {}, policyTypes: [Ingress, Egress]}"}, from: onHost, to: onHost},
		"a pod reaches itself":                                       {specs: []string{"{podSelector: {}, policyTypes: [Ingress, Egress]}"}, from: server, to: server},
		"a port by number":                                           {specs: []string{serverOnly + "ingress: [{ports: [{port: 5432}]}]"}, from: caller, to: server},
		"another port":                                               {specs: []string{serverOnly + "ingress: [{ports: [{port: 5433}]}]"}, from: caller, to: server, want: "ingress"},
		"a port by the name that the destination gives it":           {specs: []string{serverOnly + "ingress: [{ports: [{port: sql}]}]"}, from: caller, to: server},
		"a name that the destination does not have":                  {specs: []string{serverOnly + "ingress: [{ports: [{port: http}]}]"}, from: caller, to: server, want: "ingress"},
		"a name of a port of another protocol":                       {specs: []string{serverOnly + "ingress: [{ports: [{port: dns}]}]"}, from: caller, to: server, port: 53, want: "ingress"},
		"a range of ports":                                           {specs: []string{serverOnly + "ingress: [{ports: [{port: 5000, endPort: 6000}]}]"}, from: caller, to: server},
		"past the end of a range":                                    {specs: []string{serverOnly + "ingress: [{ports: [{port: 5000, endPort: 5431}]}]"}, from: caller, to: server, want: "ingress"},
		"a protocol without a port means all its ports":              {specs: []string{serverOnly + "ingress: [{ports: [{protocol: UDP}]}]"}, from: caller, to: server, protocol: corev1.ProtocolUDP},
		"a port without a protocol is TCP":                           {specs: []string{serverOnly + "ingress: [{ports: [{port: 53}]}]"}, from: caller, to: server, port: 53, protocol: corev1.ProtocolUDP, want: "ingress"},
		"policies add up":                                            {specs: []string{"podSelector: {}", serverOnly + "ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]"}, from: caller, to: server},
		"peer and port must be allowed by one rule":                  {specs: []string{serverOnly + "ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 80}]}, {from: [{podSelector: {matchLabels: {app: front}}}], ports: [{port: 5432}]}]"}, from: caller, to: server, want: "ingress"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := snapshot.NewBuilder(time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC), snapshot.Source{})
			b.Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "batch", Labels: map[string]string{"team": "night", corev1.LabelMetadataName: "batch"}}})
			for i, spec := range tc.specs {
				np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: string(rune('a' + i))}}
				if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
					t.Fatal(err)
				}
				b.Add(np)
			}
			f := flow{from: podPeer(tc.from), to: podPeer(tc.to), protocol: corev1.ProtocolTCP, port: 5432}
			if tc.port != 0 {
				f.port = tc.port
			}
			if tc.protocol != "" {
				f.protocol = tc.protocol
			}
			barrier := readPolicies(b.Build()).judge(f)
			var got []string
			if len(barrier.egress) > 0 {
				got = append(got, "egress")
			}
			if len(barrier.ingress) > 0 {
				got = append(got, "ingress")
			}
			if strings.Join(got, " ") != tc.want || barrier.passes() != (tc.want == "") {
				t.Errorf("denied: %q, want %q", got, tc.want)
			}
		})
	}
}

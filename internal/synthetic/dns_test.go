package synthetic

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// nameServer answers on loopback, over UDP and TCP on one port.
func nameServer(t *testing.T, answer func(*dns.Msg, bool) *dns.Msg) (port string) {
	t.Helper()
	packets, listener, port := bothPorts(t)
	handler := func(tcp bool) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
			if reply := answer(question, tcp); reply != nil {
				w.WriteMsg(reply) //nolint:errcheck // then there is no answer, and the test fails
			}
		})
	}
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: handler(false)}, {Listener: listener, Handler: handler(true)}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return port
}

// bothPorts listens on a port of loopback that is free over UDP and TCP.
func bothPorts(t *testing.T) (packets net.PacketConn, listener net.Listener, port string) {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			_, port, err = net.SplitHostPort(packets.LocalAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			return packets, listener, port
		}
		packets.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// knows answers for one name with an address, for others that there is none.
func knows(name, record string) func(*dns.Msg, bool) *dns.Msg {
	return func(question *dns.Msg, _ bool) *dns.Msg {
		reply := new(dns.Msg).SetReply(question)
		if question.Question[0].Name != name {
			reply.Rcode = dns.RcodeNameError
			return reply
		}
		rr, err := dns.NewRR(record)
		if err == nil && rr.Header().Rrtype == question.Question[0].Qtype {
			reply.Answer = append(reply.Answer, rr)
		}
		return reply
	}
}

func says(code int) func(*dns.Msg, bool) *dns.Msg {
	return func(question *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(question, code) }
}

const kubernetes = "kubernetes.default.svc.cluster.local."

func TestDNSAsPodsResolve(t *testing.T) {
	address := kubernetes + " 5 IN A 10.96.0.1"
	tests := map[string]struct {
		answer  func(*dns.Msg, bool) *dns.Msg // nil: nothing listens
		options map[string]string
		pod     string
		want    expectation
	}{
		"a Service is found through the search list": {answer: knows(kubernetes, address)},
		"a name with an IPv6 address only is found":  {answer: knows(kubernetes, kubernetes+" 5 IN AAAA fd00::1")},
		"an answer that does not fit is asked for over TCP": {answer: func(question *dns.Msg, tcp bool) *dns.Msg {
			reply := knows(kubernetes, address)(question, tcp)
			if !tcp {
				reply.Answer, reply.Truncated = nil, true
			}
			return reply
		}},
		"one packet that is lost is asked for again": {answer: func() func(*dns.Msg, bool) *dns.Msg {
			var lost atomic.Bool
			return func(question *dns.Msg, tcp bool) *dns.Msg {
				if lost.CompareAndSwap(false, true) {
					return nil
				}
				return knows(kubernetes, address)(question, tcp)
			}
		}()},
		"a domain of the search list that does not work matters not": {answer: func(question *dns.Msg, tcp bool) *dns.Msg {
			if strings.HasSuffix(question.Question[0].Name, ".checks.svc.cluster.local.") {
				return says(dns.RcodeServerFailure)(question, tcp)
			}
			return knows(kubernetes, address)(question, tcp)
		}},
		"the pod's own name in HOSTNAME is not an option": {answer: knows(kubernetes, address), options: map[string]string{"HOSTNAME": "dns-check-abc"}, pod: "dns-check-abc"},
		"the pod's own name, cut as host names are": {
			answer: knows(kubernetes, address), options: map[string]string{"HOSTNAME": strings.Repeat("x", 63)}, pod: strings.Repeat("x", 70),
		},
		"another name": {
			answer: knows("example.com.", "example.com. 5 IN A 192.0.2.1"), options: map[string]string{"HOSTNAME": "example.com"},
		},
		"nobody knows the name": {
			answer: says(dns.RcodeNameError),
			want: expectation{
				errors: []string{"DNS Status check determined that kubernetes.default is DOWN: the server 127.0.0.1:"},
				nodes:  nil,
			},
		},
		"the server fails":     {answer: says(dns.RcodeServerFailure), want: expectation{errors: []string{"answers SERVFAIL for kubernetes.default.checks.svc.cluster.local."}}},
		"the server refuses":   {answer: says(dns.RcodeRefused), want: expectation{errors: []string{"answers REFUSED for"}}},
		"the server is silent": {answer: func(*dns.Msg, bool) *dns.Msg { return nil }, want: expectation{errors: []string{"does not answer over UDP: no answer in 1s, asked 2 times"}}},
		"nothing listens":      {want: expectation{errors: []string{"refuses connections over UDP: nothing listens there"}}},
		"a name that is none":  {answer: says(dns.RcodeNameError), options: map[string]string{"HOSTNAME": strings.Repeat("a", 300)}, want: expectation{refused: []string{"HOSTNAME is"}}},
		"labels of no sense":   {answer: says(dns.RcodeNameError), options: map[string]string{"DNS_POD_SELECTOR": "a in b"}, want: expectation{refused: []string{`DNS_POD_SELECTOR is "a in b": write labels such as k8s-app=kube-dns`}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, port, err := net.SplitHostPort(closed)
			if err != nil {
				t.Fatal(err)
			}
			if tc.answer != nil {
				port = nameServer(t, tc.answer)
			}
			e := settings(t, tc.options)
			if tc.pod != "" {
				e.Pod = tc.pod
			}
			conf := &dns.ClientConfig{
				Servers: []string{"127.0.0.1"}, Port: port, Ndots: 5, Timeout: 1, Attempts: 2,
				Search: []string{"checks.svc.cluster.local", "svc.cluster.local", "cluster.local"},
			}
			got, err := lookup{env: e, table: dnsOptions("kubernetes.default"), conf: conf}.run(t.Context())
			tc.want.compare(t, got, err)
		})
	}
}

func TestDNSGoesOnToTheNextServerAndSaysSo(t *testing.T) {
	port := nameServer(t, knows(kubernetes, kubernetes+" 5 IN A 10.96.0.1"))
	// Only 127.0.0.1 listens on the port.
	conf := &dns.ClientConfig{Servers: []string{"127.0.0.2", "127.0.0.1"}, Port: port, Ndots: 5, Timeout: 1, Search: []string{"svc.cluster.local"}}
	got, err := lookup{env: settings(t, nil), table: dnsOptions("kubernetes.default"), conf: conf}.run(t.Context())
	expectation{notes: []string{"another server of /etc/resolv.conf resolves the name, but the server 127.0.0.2:" + port + " refuses connections"}}.compare(t, got, err)
}

func TestDNSByServerNamesThoseThatFail(t *testing.T) {
	well, ill := nameServer(t, knows(kubernetes, kubernetes+" 5 IN A 10.96.0.1")), nameServer(t, says(dns.RcodeServerFailure))
	servers := []dnsServer{
		{address: "127.0.0.1:" + well, pod: "coredns-a", node: "w1"},
		{address: "127.0.0.1:" + ill, pod: "coredns-b", node: "w1"},
		{address: "127.0.0.1:" + well, pod: "coredns-c", node: "w2"},
	}
	l := lookup{env: settings(t, nil), conf: &dns.ClientConfig{Timeout: 1}}
	got := l.each(t.Context(), "kubernetes.default", []string{kubernetes}, servers)
	message := "the server 127.0.0.1:" + ill + " (pod coredns-b on node w1) answers SERVFAIL for " + kubernetes
	want := Result{
		Errors: []string{"DNS Status check determined that kubernetes.default is DOWN: " + message},
		Nodes:  []NodeResult{{Node: "w1", Message: message}, {Node: "w2", OK: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDNSServersAreThoseThatAreReadyOnTheirOwnPort(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{
		Ports: []discoveryv1.EndpointPort{
			{Name: new("metrics"), Protocol: new(corev1.ProtocolTCP), Port: new(int32(9153))},
			{Name: new("dns"), Protocol: new(corev1.ProtocolUDP), Port: new(int32(5353))},
		},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.0.0.1"}, NodeName: new("w1"), TargetRef: &corev1.ObjectReference{Name: "a"}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)}},
			{Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(false)}},
			{Addresses: []string{"fd00::3"}},
		},
	}
	want := []dnsServer{{address: "10.0.0.1:5353", pod: "a", node: "w1"}, {address: "[fd00::3]:5353"}}
	if diff := cmp.Diff(want, serversOf(slice), cmp.AllowUnexported(dnsServer{})); diff != "" {
		t.Error(diff)
	}
	older := &corev1.Endpoints{Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // see endpoints
		Addresses:         []corev1.EndpointAddress{{IP: "10.0.0.1", NodeName: new("w1"), TargetRef: &corev1.ObjectReference{Name: "a"}}, {IP: "fd00::3"}},
		NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.2"}},
		Ports:             []corev1.EndpointPort{{Protocol: corev1.ProtocolTCP, Port: 9153}, {Protocol: corev1.ProtocolUDP, Port: 5353}},
	}}}
	if diff := cmp.Diff(want, serversOfEndpoints(older), cmp.AllowUnexported(dnsServer{})); diff != "" {
		t.Error(diff)
	}
}

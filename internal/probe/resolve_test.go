package probe_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/probe"
)

func httpGet(get corev1.HTTPGetAction) corev1.ProbeHandler { return corev1.ProbeHandler{HTTPGet: &get} }

func kubeHeader(more ...string) http.Header {
	header := http.Header{"User-Agent": {"kube-probe/1.36"}, "Accept": {"*/*"}}
	for i := 0; i < len(more); i += 2 {
		header[more[i]] = append(header[more[i]], more[i+1])
	}
	return header
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWhatTheKubeletAsks(t *testing.T) {
	tests := map[string]struct {
		spec  corev1.ProbeHandler
		podIP string
		want  probe.Target
		// wantURL is that of an HTTP target.
		wantURL string
		// wantErr is the error of an Impossible.
		wantErr string
		wantWhy probe.Difference
	}{
		"HTTP at a port by number": {
			spec: httpGet(corev1.HTTPGetAction{Path: "/healthz?full=1", Port: intstr.FromInt32(80)}), wantURL: "http://10.0.0.7:80/healthz?full=1",
			want: probe.HTTP{Header: kubeHeader()},
		},
		"HTTP at a port by name": {spec: httpGet(corev1.HTTPGetAction{Port: intstr.FromString("web")}), wantURL: "http://10.0.0.7:8080", want: probe.HTTP{Header: kubeHeader()}},
		"HTTP at a number as a text": {
			spec: httpGet(corev1.HTTPGetAction{Port: intstr.FromString("81"), Path: "/"}), wantURL: "http://10.0.0.7:81/", want: probe.HTTP{Header: kubeHeader()},
		},
		"HTTPS of a pod with an IPv6 address": {
			spec: httpGet(corev1.HTTPGetAction{Scheme: corev1.URISchemeHTTPS, Port: intstr.FromInt32(443)}), podIP: "fd00::7", wantURL: "https://[fd00::7]:443",
			want: probe.HTTP{Header: kubeHeader()},
		},
		"HTTP of another host": {spec: httpGet(corev1.HTTPGetAction{Host: "db", Port: intstr.FromInt32(80)}), wantURL: "http://db:80", want: probe.HTTP{Header: kubeHeader()}},
		"a path that names a host keeps its path": {
			spec: httpGet(corev1.HTTPGetAction{Path: "//evil.example.org/x", Port: intstr.FromInt32(80)}), wantURL: "http://10.0.0.7:80/x", want: probe.HTTP{Header: kubeHeader()},
		},
		"a path that is none is sent as it is": {
			spec: httpGet(corev1.HTTPGetAction{Path: "/%zz?a", Port: intstr.FromInt32(80)}), wantURL: "http://10.0.0.7:80/%25zz%3Fa", want: probe.HTTP{Header: kubeHeader()},
		},
		"headers, twice the same": {
			spec: httpGet(corev1.HTTPGetAction{Port: intstr.FromInt32(80), HTTPHeaders: []corev1.HTTPHeader{{Name: "x-a", Value: "1"}, {Name: "X-A", Value: "2"}}}),
			want: probe.HTTP{Header: kubeHeader("X-A", "1", "X-A", "2")}, wantURL: "http://10.0.0.7:80",
		},
		"headers in place of the kubelet's": {
			spec: httpGet(corev1.HTTPGetAction{Port: intstr.FromInt32(80), HTTPHeaders: []corev1.HTTPHeader{{Name: "user-agent", Value: "me"}, {Name: "accept", Value: ""}, {Name: "Host", Value: "shop"}}}),
			want: probe.HTTP{Header: http.Header{"User-Agent": {"me"}, "Host": {"shop"}}, Host: "shop"}, wantURL: "http://10.0.0.7:80",
		},
		"TCP at a port by name":  {spec: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("web")}}, want: probe.TCP{Address: "10.0.0.7:8080"}},
		"TCP of another host":    {spec: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Host: "db", Port: intstr.FromInt32(5432)}}, want: probe.TCP{Address: "db:5432"}},
		"gRPC":                   {spec: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090}}, want: probe.GRPC{Address: "10.0.0.7:9090", UserAgent: "kube-probe/1.36"}},
		"gRPC of a service":      {spec: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9090, Service: new("cart")}}, want: probe.GRPC{Address: "10.0.0.7:9090", Service: "cart", UserAgent: "kube-probe/1.36"}},
		"a command with values":  {spec: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"check", "$(MODE)-$(SECRET)-$(NONE)-$$(MODE)"}}}, want: probe.Exec{Namespace: "shop", Pod: "web-0", Container: "main", Command: []string{"check", "fast--$(NONE)-$(MODE)"}}},
		"a port name of nobody":  {spec: httpGet(corev1.HTTPGetAction{Port: intstr.FromString("nope")}), wantErr: `strconv.Atoi: parsing "nope": invalid syntax`, wantWhy: probe.PortUnresolved},
		"no port":                {spec: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}, wantErr: "invalid port number: 0", wantWhy: probe.PortUnresolved},
		"a port that is too big": {spec: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(65536)}}, wantErr: "invalid port number: 65536", wantWhy: probe.PortUnresolved},
		"a host that is none":    {spec: httpGet(corev1.HTTPGetAction{Host: "[::1", Port: intstr.FromInt32(80)}), wantErr: `parse "http://[[::1]:80": invalid IP-literal`, wantWhy: probe.RequestInvalid},
		"nothing to ask":         {wantErr: "missing probe handler for web-0_shop(1234):main", wantWhy: probe.NoHandler},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.podIP == "" {
				tc.podIP = "10.0.0.7"
			}
			at := probe.Site{
				Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0", UID: "1234"}, Status: corev1.PodStatus{PodIP: tc.podIP}},
				Container: &corev1.Container{
					Name:  "main",
					Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}},
					Env:   []corev1.EnvVar{{Name: "MODE", Value: "fast"}, {Name: "SECRET", ValueFrom: &corev1.EnvVarSource{}}},
				},
				Version: "1.36",
			}
			got := probe.Resolve(&corev1.Probe{ProbeHandler: tc.spec}, at)
			if impossible, ok := got.(probe.Impossible); ok || tc.wantErr != "" {
				if !ok || impossible.Err.Error() != tc.wantErr || impossible.Why != tc.wantWhy {
					t.Fatalf("%#v, want that it is impossible (%s): %s", got, tc.wantWhy, tc.wantErr)
				}
				return
			}
			if want, ok := tc.want.(probe.HTTP); ok {
				want.URL = parsed(t, tc.wantURL)
				tc.want = want
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestImpossibleProbesAreDiscarded: a liveness probe by the name of a port that is not there never fires.
func TestImpossibleProbesAreDiscarded(t *testing.T) {
	spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromString("nope")}}}
	got := probe.New(probe.Options{Now: wallClock}).Probe(t.Context(), probe.Resolve(spec, site()), time.Second)
	if !got.Kubelet.Discarded || got.Kubelet.Result != probe.Unknown || !got.Strict.Failed() || got.Difference != probe.PortUnresolved {
		t.Errorf("%+v", got)
	}
	want := &probe.Event{Reason: "Unhealthy", Message: `Liveness probe errored and resulted in unknown state: strconv.Atoi: parsing "nope": invalid syntax`}
	if diff := cmp.Diff(want, got.Kubelet.Event(probe.Liveness)); diff != "" {
		t.Errorf("the event (-want +got):\n%s", diff)
	}
}

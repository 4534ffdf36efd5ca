package probe_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

var (
	asksHTTP    = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{}}}
	asksTCP     = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}}
	asksGRPC    = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{}}}
	asksCommand = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{}}}
)

// The texts that the kubelet's own packages gave for servers of every odd kind.
func TestMeaningOfLongWords(t *testing.T) {
	refused := "connection refused" + strings.Repeat(" and again", 1<<20)
	if got := probe.MeaningOf(asksHTTP, refused); got != probe.MeansRefused {
		t.Errorf("words that begin with a meaning mean %q, want %q", got, probe.MeansRefused)
	}
	if got := probe.MeaningOf(asksHTTP, strings.Repeat("and again ", 1<<20)+"connection refused"); got != probe.MeansNothing {
		t.Errorf("words that no kubelet would quote mean %q, want nothing", got)
	}
}

func TestMeaningOf(t *testing.T) {
	for name, tc := range map[string]struct {
		spec *corev1.Probe
		want map[string]probe.Meaning
	}{
		"HTTP": {asksHTTP, map[string]probe.Meaning{
			`HTTP probe failed with statuscode: 101`:                                                                            probe.MeansStatus,
			`HTTP probe failed with statuscode: 418`:                                                                            probe.MeansStatus,
			`HTTP probe failed with statuscode: 600`:                                                                            probe.MeansStatus,
			`HTTP probe failed with statuscode: 400`:                                                                            probe.MeansBadRequest,
			`HTTP probe failed with statuscode: 401`:                                                                            probe.MeansUnauthorized,
			`HTTP probe failed with statuscode: 403`:                                                                            probe.MeansUnauthorized,
			`HTTP probe failed with statuscode: 404`:                                                                            probe.MeansNoPath,
			`HTTP probe failed with statuscode: 405`:                                                                            probe.MeansNoPath,
			`HTTP probe failed with statuscode: 429`:                                                                            probe.MeansThrottled,
			`HTTP probe failed with statuscode: 503`:                                                                            probe.MeansIll,
			`Probe terminated redirects, Response body: <a href="https://login.example.org/">Found</a>.`:                        probe.MeansRedirectedAway,
			`Get "/loop": stopped after 10 redirects`:                                                                           probe.MeansRedirectLost,
			`Get "ftp://10.0.0.1/": unsupported protocol scheme "ftp"`:                                                          probe.MeansRedirectLost,
			`Get "http://10.0.0.1:8080/": EOF`:                                                                                  probe.MeansReset,
			`Get "http://10.0.0.1:8080/": read tcp 10.0.0.2:4->10.0.0.1:8080: read: connection reset by peer`:                   probe.MeansReset,
			`Get "http://10.0.0.1:8080/": net/http: HTTP/1.x transport connection broken: unexpected EOF`:                       probe.MeansReset,
			`Get "http://10.0.0.1:8080/": dial tcp 10.0.0.1:8080: connect: connection refused`:                                  probe.MeansRefused,
			`Get "http://:80/": dial tcp :80: connect: connection refused`:                                                      probe.MeansRefused,
			`Get "http://10.0.0.1:8080/": dial tcp 10.0.0.1:8080: connect: no route to host`:                                    probe.MeansUnreachable,
			`Get "http://10.0.0.1:8080/": dial tcp 10.0.0.1:8080: i/o timeout (Client.Timeout exceeded while awaiting headers)`: probe.MeansUnreachable,
			`Get "http://10.0.0.1:8080/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`:  probe.MeansUnreachable,
			`Get "https://10.0.0.1:8443/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`: probe.MeansSlow,
			`Get "http://10.0.0.1:8080/": net/http: request canceled (Client.Timeout exceeded while awaiting headers)`:                               probe.MeansSlow,
			`Get "http://10.0.0.1:8080/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`:                                probe.MeansSlow,
			`Get "http://10.0.0.1:8080/": read tcp 10.0.0.2:4->10.0.0.1:8080: i/o timeout`:                                                           probe.MeansSlow,
			`context deadline exceeded (Client.Timeout or context cancellation while reading body)`:                                                  probe.MeansBody,
			`unexpected EOF`:               probe.MeansBody,
			`invalid byte in chunk length`: probe.MeansBody,
			`Get "https://10.0.0.1:8080/": http: server gave HTTP response to HTTPS client`:                                       probe.MeansPlain,
			`Get "https://10.0.0.1:5432/": tls: first record does not look like a TLS handshake`:                                  probe.MeansPlain,
			`Get "http://10.0.0.1:8443/": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01"`: probe.MeansTLS,
			`Get "http://10.0.0.1:25/": net/http: HTTP/1.x transport connection broken: malformed HTTP status code "ready"`:       probe.MeansNotHTTP,
			`Get "https://10.0.0.1:8443/": remote error: tls: certificate required`:                                               probe.MeansHandshake,
			`Get "https://10.0.0.1:8443/": remote error: tls: protocol version not supported`:                                     probe.MeansHandshake,
			`Get "http://10.0.0.1:80/": net/http: invalid header field value for "X-A"`:                                           probe.MeansNoRequest,
			`Get "http://db.example.org/": dial tcp: lookup db.example.org on 10.96.0.10:53: no such host`:                        probe.MeansNoHost,
			`strconv.Atoi: parsing "nope": invalid syntax`:                                                                        probe.MeansNoPort,
			`invalid port number: 0`: probe.MeansNoPort,
			"":                       probe.MeansNothing,
		}},
		"TCP": {asksTCP, map[string]probe.Meaning{
			`dial tcp 10.0.0.1:8080: i/o timeout`:                 probe.MeansUnreachable,
			`dial tcp 10.0.0.1:8080: connect: connection refused`: probe.MeansRefused,
		}},
		"gRPC": {asksGRPC, map[string]probe.Meaning{
			`timeout: failed to connect service "10.0.0.1:9000" within 1s: context deadline exceeded`:                                       probe.MeansNoGRPC,
			`timeout: health rpc did not complete within 1s`:                                                                                probe.MeansSlow,
			`service unhealthy (responded with "NOT_SERVING")`:                                                                              probe.MeansIll,
			`error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health`: probe.MeansNoHealth,
			`error: health rpc probe failed: rpc error: code = NotFound desc = unknown service`:                                             probe.MeansNoService,
			`error: health rpc probe failed: rpc error: code = PermissionDenied desc = go away`:                                             probe.MeansUnauthorized,
			`error: health rpc probe failed: rpc error: code = Unavailable desc = dial tcp 10.0.0.9:5432: connect: connection refused`:      probe.MeansIll,
		}},
		"a command": {asksCommand, map[string]probe.Meaning{
			`command timed out: "/check" timed out after 1s`:                                                  probe.MeansSlow,
			`OCI runtime exec failed: exec failed: exec: "curl": executable file not found in $PATH: unknown`: probe.MeansNoCommand,
			`rpc error: code = Unknown desc = failed to exec in container: failed to start exec "0a": OCI runtime exec failed: exec failed: unable to start container process: exec: "/check": stat /check: no such file or directory: unknown`: probe.MeansNoCommand,
			`rpc error: code = NotFound desc = failed to exec in container: failed to load task: no running task found`:                                                                                                                         probe.MeansNotRun,
			`/bin/sh: curl: not found`:                 probe.MeansNoCommand,
			`sh: 1: curl: not found`:                   probe.MeansNoCommand,
			`/bin/bash: line 1: jq: command not found`: probe.MeansNoCommand,
			// What a command prints about others is no word about the probe.
			`psql: error: connection to server at "db" (10.0.0.9), port 5432 failed: Connection refused`: probe.MeansCommandFailed,
			`curl: (22) The requested URL returned error: 404`:                                           probe.MeansCommandFailed,
			`curl: (28) Operation timed out after 1001 milliseconds`:                                     probe.MeansCommandFailed,
			`dial tcp 10.0.0.1:8080: connect: connection refused`:                                        probe.MeansCommandFailed,
			"cat: can't open '/tmp/healthy': No such file or directory":                                  probe.MeansCommandFailed,
			"": probe.MeansCommandFailed,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for words, want := range tc.want {
				if got := probe.MeaningOf(tc.spec, words); got != want {
					t.Errorf("%q is %q, want %q", words, got, want)
				}
			}
		})
	}
}

// overdue are the words of which a race within net/http decides which is said of one and the same timeout.
const overdue = `context deadline exceeded (Client.Timeout exceeded while awaiting headers)`

// The servers of probetest, about which the kubelet's own code was asked as well, leave no verdict
// without a meaning, and no meaning without words for people.
func TestEveryVerdictHasAMeaning(t *testing.T) {
	judge := func(name string, spec *corev1.Probe, v probe.Verdict) {
		if v.Result == probe.Success {
			return
		}
		words := strings.ReplaceAll(v.Message, "TIMEOUT", overdue)
		switch means := probe.MeaningOf(spec, words); {
		case means == probe.MeansNothing:
			t.Errorf("%s: %q has no meaning", name, words)
		case means != probe.MeansCommandFailed && (means.Text().EN == "" || means.Text().KO == ""):
			t.Errorf("%s: %s has no words", name, means)
		case v.Discarded != (slices.Contains([]probe.Meaning{probe.MeansBody, probe.MeansNoPort, probe.MeansNotRun}, means)):
			t.Errorf("%s: %q is %s, and the kubelet throws it away: %v", name, words, means, v.Discarded)
		case (v.Result == probe.Warning) != (means == probe.MeansRedirectedAway):
			t.Errorf("%s: %q is %s, and the kubelet says %s", name, words, means, v.Result)
		}
	}
	for name, c := range probetest.HTTP() {
		judge("HTTP: "+name, asksHTTP, c.Want)
	}
	for name, c := range probetest.TCP() {
		judge("TCP: "+name, asksTCP, c.Want)
	}
	for name, c := range probetest.GRPC() {
		judge("gRPC: "+name, asksGRPC, c.Want)
	}
	for name, c := range probetest.Exec() {
		judge("exec: "+name, asksCommand, c.Want)
	}
}

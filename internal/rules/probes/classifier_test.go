package probes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestClassify(t *testing.T) {
	command := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat", "/tmp/healthy"}}}
	for message, want := range map[string]answer{
		`strconv.Atoi: parsing "nope": invalid syntax`:                                  answerNoPort,
		`invalid port number: 0`:                                                        answerNoPort,
		`Get "https://10.0.0.1:8080/": http: server gave HTTP response to HTTPS client`: answerPlain,
		`Get "http://10.0.0.1:8443/": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01"`: answerTLS,
		`Get "https://10.0.0.1:8443/": remote error: tls: certificate required`:                                               answerHandshake,
		`error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service`:             answerNoHealth,
		`error: health rpc probe failed: rpc error: code = NotFound desc = unknown service`:                                   answerNoService,
		`timeout: failed to connect service "10.0.0.1:9000" within 1s: context deadline exceeded`:                             answerRefused,
		`timeout: health rpc did not complete within 1s`:                                                                      answerSlow,
		`service unhealthy (responded with "NOT_SERVING")`:                                                                    answerIll,
		`command timed out: "/check" timed out after 1s`:                                                                      answerSlow,
		`OCI runtime exec failed: exec failed: exec: "curl": executable file not found in $PATH: unknown`:                     answerNoCommand,
		`Get "http://10.0.0.1:8080/": dial tcp 10.0.0.1:8080: connect: connection refused`:                                    answerRefused,
		`Get "http://10.0.0.1:8080/": read tcp 10.0.0.2:4->10.0.0.1:8080: read: connection reset by peer`:                     answerReset,
		`Get "http://10.0.0.1:8080/": EOF`:                                                                                    answerReset,
		`dial tcp 10.0.0.1:8080: i/o timeout`:                                                                                 answerUnreachable,
		`Get "http://10.0.0.1:8080/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`:             answerSlow,
		`context deadline exceeded (Client.Timeout or context cancellation while reading body)`:                               answerBody,
		`HTTP probe failed with statuscode: 401`:                                                                              answerUnauthorized,
		`HTTP probe failed with statuscode: 403`:                                                                              answerUnauthorized,
		`HTTP probe failed with statuscode: 404`:                                                                              answerNoPath,
		`HTTP probe failed with statuscode: 405`:                                                                              answerNoPath,
		`HTTP probe failed with statuscode: 400`:                                                                              answerBadRequest,
		`HTTP probe failed with statuscode: 503`:                                                                              answerIll,
		`HTTP probe failed with statuscode: 429`:                                                                              answerIll,
		"cat: can't open '/tmp/healthy': No such file or directory":                                                           answerCommandFailed,
		"": answerUnknown,
	} {
		p := probe{kind: liveness, spec: &corev1.Probe{ProbeHandler: command}}
		if got := p.classify(message); got != want {
			t.Errorf("%q is %q, want %q", message, got, want)
		}
	}
}

func TestTimingOf(t *testing.T) {
	for name, tc := range map[string]struct {
		probe            corev1.Probe
		wantEarliest     int
		wantBudget       int
		runs             map[int]bool // by seconds: cannot have answered
		wantFailuresOf60 int
	}{
		"the API server's defaults": {wantEarliest: 20, wantBudget: 30, runs: map[int]bool{16: false, 17: true, 34: true, 35: false}, wantFailuresOf60: 6},
		"a delay and one failure": {
			probe: corev1.Probe{InitialDelaySeconds: 15, PeriodSeconds: 7, FailureThreshold: 1, TimeoutSeconds: 2}, wantEarliest: 15, wantBudget: 22,
			runs: map[int]bool{11: false, 12: true, 27: true, 28: false}, wantFailuresOf60: 9,
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := timingOf(&tc.probe)
			if seconds(at.earliest()) != tc.wantEarliest || seconds(at.budget()) != tc.wantBudget {
				t.Errorf("given up after %v to %v, want %d s to %d s", at.earliest(), at.budget(), tc.wantEarliest, tc.wantBudget)
			}
			for run, want := range tc.runs {
				if got := at.failedFromStart(duration(run)); got != want {
					t.Errorf("a run of %d s cannot have answered: %v, want %v", run, got, want)
				}
			}
			if got := failuresFor(duration(60), at.period); got != tc.wantFailuresOf60 {
				t.Errorf("60 s take a threshold of %d, want %d", got, tc.wantFailuresOf60)
			}
		})
	}
}

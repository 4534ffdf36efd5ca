package expect_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

func spec(t *testing.T, text string) *v1alpha1.CheckSpec {
	t.Helper()
	var s v1alpha1.CheckSpec
	if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
		t.Fatalf("spec of the test case: %v", err)
	}
	return &s
}

// verdict is an outcome about which both semantics agree.
func verdict(result probe.Result, message string) probe.Outcome {
	v := probe.Verdict{Result: result, Message: message}
	return probe.Outcome{Kubelet: v, Strict: v}
}

func stopped(cause probe.Cause, message string) probe.Outcome {
	o := verdict(probe.Failure, message)
	o.Cause = cause
	return o
}

// answered is what the prober makes of an HTTP answer.
func answered(status int, body string, headers ...string) probe.Outcome {
	o := verdict(probe.Success, body)
	if status >= 400 {
		o = verdict(probe.Failure, "HTTP probe failed with statuscode: 503")
	}
	o.HTTP = &probe.HTTPAnswer{Status: status, Body: body, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		o.HTTP.Header.Add(headers[i], headers[i+1])
	}
	return o
}

func with(o probe.Outcome, change func(o *probe.Outcome)) probe.Outcome {
	change(&o)
	return o
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestJudge(t *testing.T) {
	const get = `httpGet: {port: 80}`
	redirected := with(answered(302, ""), func(o *probe.Outcome) {
		o.Kubelet = probe.Verdict{Result: probe.Warning}
		o.Strict = probe.Verdict{Result: probe.Failure, Message: "redirected to another host: login.example.com"}
		o.Difference = probe.RedirectedAway
	})
	lost := with(answered(200, "half"), func(o *probe.Outcome) {
		o.Kubelet = probe.Verdict{Result: probe.Failure, Message: "unexpected EOF", Discarded: true}
		o.Strict = probe.Verdict{Result: probe.Failure, Message: "unexpected EOF"}
		o.Difference, o.Cause, o.Err = probe.BodyLost, probe.BodyIncomplete, errors.New("unexpected EOF")
	})
	tests := map[string]struct {
		spec    string
		outcome probe.Outcome
		// want is result, reason and message; just the first after a success.
		want string
	}{
		"a good answer": {get, answered(200, "ok"), "Success"},
		"503":           {get, answered(503, "secret of the body"), "Failure UnexpectedStatus: HTTP 503 Service Unavailable, expected 200-399"},
		"503, expected": {get + `, expect: {statusCodes: ["500-599"]}`, answered(503, ""), "Success"},
		"200, not expected": {
			get + `, expect: {statusCodes: ["201-204", "404"]}`, answered(200, ""), "Failure UnexpectedStatus: HTTP 200 OK, expected 201-204, 404",
		},
		"a status without a name":     {get, answered(599, ""), "Failure UnexpectedStatus: HTTP 599, expected 200-399"},
		"redirected away":             {get, redirected, "Failure RedirectedAway: HTTP 302 Found: redirected to another host: login.example.com"},
		"redirected away, as wanted":  {get + `, expect: {statusCodes: ["302"]}`, redirected, "Success"},
		"redirected away, to kubelet": {get + `, semantics: Kubelet`, redirected, "Success"},
		"half a body":                 {get, lost, "Failure BodyIncomplete: the answer began and was cut off: unexpected EOF"},
		"half a body, of any status":  {get + `, expect: {statusCodes: ["200"]}`, lost, "Failure BodyIncomplete: the answer began and was cut off: unexpected EOF"},
		"half a body, to a kubelet":   {get + `, semantics: Kubelet`, lost, "Unknown Discarded: a kubelet would repeat this attempt and throw its result away: unexpected EOF"},
		"half a body, told by an agent": {
			get, with(lost, func(o *probe.Outcome) { o.Cause, o.Err = "", nil }), "Failure BodyIncomplete: the answer began and was cut off: unexpected EOF",
		},

		"refused":     {get, stopped(probe.ConnectionRefused, `Get "http://10.0.0.1/": dial tcp 10.0.0.1:80: connect: connection refused`), "Failure ConnectionRefused: the connection was refused: nothing listens there"},
		"reset":       {get, stopped(probe.ConnectionReset, `Get "http://10.0.0.1/": EOF`), "Failure ConnectionReset: the connection was closed before there was an answer"},
		"unreachable": {get, stopped(probe.Unreachable, `Get "http://10.0.0.1/?token=x": dial tcp: no route to host`), "Failure Unreachable: no route leads there: dial tcp: no route to host"},
		"no name":     {get, stopped(probe.NameNotFound, "lookup a.: no such host"), "Failure NameNotFound: the name does not exist: lookup a.: no such host"},
		"too late": {get, with(stopped(probe.TimedOut, "x"), func(o *probe.Outcome) {
			o.Latency, o.Phases = 1002*time.Millisecond, probe.Phases{Connect: time.Millisecond, Wait: time.Second}
		}), "Failure TimedOut: no answer within 1s (while waiting for the first byte)"},
		"too late to connect":  {get, with(stopped(probe.TimedOut, "x"), func(o *probe.Outcome) { o.Latency, o.Phases = time.Second, probe.Phases{Connect: time.Second} }), "Failure TimedOut: no answer within 1s (while connecting)"},
		"too late to begin":    {get, with(stopped(probe.TimedOut, "x"), func(o *probe.Outcome) { o.Latency = time.Second }), "Failure TimedOut: no answer within 1s (before a connection was begun)"},
		"no trust":             {get, stopped(probe.CertificateInvalid, `Get "https://a/": tls: failed to verify certificate: x509: certificate signed by unknown authority`), "Failure CertificateInvalid: the certificate cannot be trusted: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		"no handshake":         {get, stopped(probe.TLSHandshakeFailed, `Get "https://a/": remote error: tls: protocol version not supported`), "Failure TLSHandshakeFailed: remote error: tls: protocol version not supported"},
		"not serving":          {`grpc: {port: 80}`, stopped(probe.NotServing, `service unhealthy (responded with "NOT_SERVING")`), `Failure NotServing: service unhealthy (responded with "NOT_SERVING")`},
		"no HTTP":              {get, verdict(probe.Failure, `Get "http://a/": net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0"`), `Failure RequestFailed: net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH-2.0"`},
		"refused, by words":    {get, verdict(probe.Failure, `Get "http://10.0.0.1/": dial tcp 10.0.0.1:80: connect: connection refused`), "Failure ConnectionRefused: the connection was refused: nothing listens there"},
		"words in the address": {get, verdict(probe.Failure, `Get "http://connection refused/": odd`), "Failure RequestFailed: odd"},

		"too slow":     {get + `, expect: {latencyMilliseconds: 100}`, with(answered(200, ""), func(o *probe.Outcome) { o.Latency = 250 * time.Millisecond }), "Failure TooSlow: the answer took 250ms, expected at most 100ms"},
		"just fast":    {get + `, expect: {latencyMilliseconds: 100}`, with(answered(200, ""), func(o *probe.Outcome) { o.Latency = 100 * time.Millisecond }), "Success"},
		"slow and ill": {get + `, expect: {latencyMilliseconds: 1}`, with(answered(503, ""), func(o *probe.Outcome) { o.Latency = time.Second }), "Failure UnexpectedStatus: HTTP 503 Service Unavailable, expected 200-399"},

		"the body matches":       {get + `, expect: {matches: "o[k]"}`, answered(200, "all ok"), "Success"},
		"the body does not":      {get + `, expect: {matches: "^ok$"}`, answered(200, "all\nbad\x00\xff"), `Failure UnexpectedBody: the body does not match "^ok$"; it begins with "all\nbad\x00 "`},
		"the body is empty":      {get + `, expect: {matches: "^ok$"}`, answered(200, ""), `Failure UnexpectedBody: the body is empty, expected something that matches "^ok$"`},
		"matches beyond 10 KiB":  {get + `, expect: {matches: "end"}`, answered(200, strings.Repeat("x", 10<<10)+"end"), `Failure UnexpectedBody: the body does not match "end"; it begins with "` + strings.Repeat("x", 97) + `…"`},
		"a token in the body":    {get + `, expect: {matches: "^ok$"}`, answered(200, "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"), ""},
		"a pattern of much work": {get + `, expect: {matches: "(abcdef){900}"}`, answered(200, "a"), `Unknown ExpectationInvalid: the regular expression "(abcdef){900}" repeats too much; write smaller counts`},

		"a header":              {get + `, expect: {headers: [{name: content-type}]}`, answered(200, "", "Content-Type", "text/html"), "Success"},
		"no header":             {get + `, expect: {headers: [{name: Content-Type}]}`, answered(200, ""), "Failure UnexpectedHeader: the answer has no header Content-Type"},
		"one of its values":     {get + `, expect: {headers: [{name: Vary, equals: B}]}`, answered(200, "", "Vary", "A", "Vary", "B"), "Success"},
		"none of its values":    {get + `, expect: {headers: [{name: Vary, equals: C}]}`, answered(200, "", "Vary", "A", "Vary", "B"), `Failure UnexpectedHeader: the header Vary is "A" and 1 more, expected "C"`},
		"an empty value":        {get + `, expect: {headers: [{name: X, equals: ""}]}`, answered(200, "", "X", ""), "Success"},
		"a value that matches":  {get + `, expect: {headers: [{name: Vary, matches: "^B"}]}`, answered(200, "", "Vary", "A", "Vary", "Bc"), "Success"},
		"a value that does not": {get + `, expect: {headers: [{name: Vary, matches: "^C"}]}`, answered(200, "", "Vary", "A"), `Failure UnexpectedHeader: the header Vary is "A", expected something that matches "^C"`},

		"a command":                 {`exec: {command: [id]}`, verdict(probe.Success, "uid=0"), "Success"},
		"a command that fails":      {`exec: {command: [id]}`, verdict(probe.Failure, "connection refused\nby psql"), `Failure CommandFailed: the command ended with an exit code other than 0: "connection refused\nby psql"`},
		"a command without a word":  {`exec: {command: [id]}`, verdict(probe.Failure, ""), "Failure CommandFailed: the command ended with an exit code other than 0, and said nothing"},
		"a command that hangs":      {`exec: {command: [id]}`, with(stopped(probe.TimedOut, "x"), func(o *probe.Outcome) { o.Latency = time.Second }), "Failure TimedOut: the command did not end within 1s"},
		"a command's output":        {`exec: {command: [id]}, expect: {matches: "uid=1"}`, verdict(probe.Success, "uid=0"), `Failure UnexpectedOutput: the output does not match "uid=1"; it begins with "uid=0"`},
		"a command that is not run": {`exec: {command: [id]}`, with(verdict(probe.Failure, "not found"), func(o *probe.Outcome) { o.Difference = probe.CommandNotRun }), "Failure CommandNotRun: the command was not run: not found"},

		"records":              {`dns: {name: a, type: A}, expect: {records: [10.0.0.1]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{"10.0.0.2", "10.0.0.1"} }), "Success"},
		"a missing record":     {`dns: {name: a, type: A}, expect: {records: [10.0.0.3]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{"10.0.0.2", "10.0.0.1"} }), `Failure RecordMissing: "10.0.0.3" is not among the records: 10.0.0.2, 10.0.0.1`},
		"an address rewritten": {`dns: {name: a, type: AAAA}, expect: {records: ["2001:DB8:0::1"]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{"2001:db8::1"} }), "Success"},
		"a name with a dot":    {`dns: {name: a, type: MX}, expect: {records: ["10 Mail.example.org"]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{"10 mail.example.org."} }), "Success"},
		"a text":               {`dns: {name: a, type: TXT}, expect: {records: ["v=spf1 -all"]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{`"v=spf1" " -all"`} }), "Success"},
		"a text of other case": {`dns: {name: a, type: TXT}, expect: {records: ["V=spf1"]}`, with(verdict(probe.Success, ""), func(o *probe.Outcome) { o.Records = []string{`"v=spf1"`} }), `Failure RecordMissing: "V=spf1" is not among the records: "v=spf1"`},
		"no records":           {`dns: {name: a}`, stopped(probe.RecordMissing, "the name has no A records"), "Failure RecordMissing: the name has no A records"},

		"a certificate that lasts": {`tls: {port: 443}, expect: {certificateDaysLeft: 14}`, with(verdict(probe.Success, ""), ends(14)), "Success"},
		"a certificate that ends":  {`tls: {port: 443}, expect: {certificateDaysLeft: 15}`, with(verdict(probe.Success, ""), ends(14)), `Failure CertificateExpiring: the certificate of "CN=a" ends at 2026-01-16T03:04Z, in 14 days, expected at least 15`},
		"a certificate that ended": {get + `, expect: {certificateDaysLeft: 15}`, with(answered(200, ""), ends(-2)), `Failure CertificateExpiring: the certificate of "CN=a" ended at 2025-12-31T03:04Z, expected at least 15 days more`},
		"no certificate":           {get + `, expect: {certificateDaysLeft: 15}`, answered(200, ""), "Failure CertificateInvalid: the answer came without TLS, so that there is no certificate, expected one for 15 more days"},
		"certificates without a chain": {get + `, expect: {certificateDaysLeft: 15}`, with(answered(200, ""), func(o *probe.Outcome) {
			ends(20)(o)
			ends(3)(o)
			o.EndsFirst = nil
		}), `Failure CertificateExpiring: the certificate of "CN=a" ends at 2026-01-05T03:04Z, in 3 days, expected at least 15`},

		"the guard":    {get, with(verdict(probe.Failure, "x"), func(o *probe.Outcome) { o.Err = wrapped(plan.Refuse(v1alpha1.ReasonNotAllowed, "not you")) }), "Unknown NotAllowed: not you"},
		"the pod went": {get, with(verdict(probe.Failure, "x"), func(o *probe.Outcome) { o.Err = wrapped(&plan.Empty{Reason: v1alpha1.ReasonPodGone, Message: "gone"}) }), "Unknown PodGone: gone"},
		"no such port": {get, with(verdict(probe.Failure, "x"), func(o *probe.Outcome) {
			o.Err = &plan.Empty{Failure: true, Reason: v1alpha1.ReasonPortNotFound, Message: "no port"}
		}), "Failure PortNotFound: no port"},
		"the operator stops":    {get, with(verdict(probe.Failure, "x"), func(o *probe.Outcome) { o.Err = wrapped(context.Canceled) }), "Unknown NotAsked: the target was not asked: context canceled"},
		"the guard, to kubelet": {get + `, semantics: Kubelet`, with(verdict(probe.Failure, "x"), func(o *probe.Outcome) { o.Err = plan.Refuse(v1alpha1.ReasonNotAllowed, "not you") }), "Unknown NotAllowed: not you"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := plan.Pod{UID: "u"}
			answer := plan.Answer{Question: plan.Question{Name: "n", Pod: pod}, From: "worker", At: at, Outcome: tc.outcome}
			got := expect.Judge(spec(t, "{"+tc.spec+"}"), answer)
			if got.Target != "n" || got.From != "worker" || got.Pod != pod || !got.At.Equal(at) || got.Latency != tc.outcome.Latency {
				t.Errorf("who and when: %+v", got)
			}
			if len(got.Message) > 512 || !utf8.ValidString(got.Message) || strings.ContainsAny(got.Message, "\n\r\x00") {
				t.Errorf("message %q", got.Message)
			}
			if strings.Contains(got.Message, "dozjgNry") || strings.Contains(got.Message, "secret of") {
				t.Errorf("it tells a secret: %q", got.Message)
			}
			text := string(got.Result)
			if got.Reason != "" || got.Message != "" {
				text += " " + got.Reason + ": " + got.Message
			}
			if diff := cmp.Diff(tc.want, text); diff != "" && tc.want != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func wrapped(err error) error { return errors.Join(err) }

// ends adds a certificate that lasts so many days.
func ends(days int) func(o *probe.Outcome) {
	return func(o *probe.Outcome) {
		left := time.Duration(days) * 24 * time.Hour
		o.Certificates = append(o.Certificates, probe.Certificate{Subject: "CN=a", NotAfter: at.Add(left), Left: left})
		o.EndsFirst = &o.Certificates[len(o.Certificates)-1]
	}
}

func TestUnaskedIsNoWordAboutTheTarget(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"an agent is silent": {errors.New("agent on worker: no answer"), "NotAsked: the target was not asked: agent on worker: no answer"},
		"an agent may not":   {plan.Refuse(v1alpha1.ReasonNotAllowed, "nodes"), "NotAllowed: nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			got := expect.Judge(spec(t, `{httpGet: {port: 80}}`), plan.Answer{Unasked: tc.err})
			if got.Result != v1alpha1.ResultUnknown || got.Reason+": "+got.Message != tc.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestOwnLagIsNoWordAboutTheTarget holds that what came late, or not at all, while the operator stood still is no
// failure, and that all else it was told is.
func TestOwnLagIsNoWordAboutTheTarget(t *testing.T) {
	const get, quick = `httpGet: {port: 80}`, `httpGet: {port: 80}, expect: {latencyMilliseconds: 100}`
	late := with(stopped(probe.TimedOut, "x"), func(o *probe.Outcome) { o.Latency = time.Second })
	slow := with(answered(200, ""), func(o *probe.Outcome) { o.Latency = 250 * time.Millisecond })
	for name, tc := range map[string]struct {
		spec    string
		outcome probe.Outcome
		stalled time.Duration
		want    string
	}{
		"no answer, and somebody listened":    {get, late, 100 * time.Millisecond, "Failure TimedOut"},
		"no answer, and nobody listened":      {get, late, 101 * time.Millisecond, "Unknown OperatorStalled"},
		"the same to a kubelet":               {get + `, semantics: Kubelet`, late, 101 * time.Millisecond, "Unknown OperatorStalled"},
		"a command":                           {`exec: {command: [id]}`, late, 101 * time.Millisecond, "Unknown OperatorStalled"},
		"a bad answer that came all the same": {get, with(answered(503, ""), func(o *probe.Outcome) { o.Latency = time.Second }), time.Second, "Failure UnexpectedStatus"},
		"a good one":                          {get, slow, time.Second, "Success "},
		"refused":                             {get, stopped(probe.ConnectionRefused, "x"), time.Second, "Failure ConnectionRefused"},
		"too slow by itself":                  {quick, slow, 149 * time.Millisecond, "Failure TooSlow"},
		"too slow by the operator":            {quick, slow, 150 * time.Millisecond, "Unknown OperatorStalled"},
	} {
		t.Run(name, func(t *testing.T) {
			got := expect.Judge(spec(t, "{"+tc.spec+"}"), plan.Answer{Outcome: tc.outcome, Stalled: tc.stalled})
			if text := string(got.Result) + " " + got.Reason; text != tc.want {
				t.Errorf("%s, want %s (%s)", text, tc.want, got.Message)
			}
		})
	}
}

func TestMessagesStayShort(t *testing.T) {
	for name, message := range map[string]string{
		"a long one":         strings.Repeat("x", 10_000),
		"of wide letters":    strings.Repeat("한", 10_000),
		"of no letters":      strings.Repeat("\xff\x00\x1b[31m", 10_000),
		"of broken letters":  strings.Repeat("\xed\x95", 10_000),
		"an error of a host": `Get "http://a/": ` + strings.Repeat("y\n", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range []string{`{httpGet: {port: 80}}`, `{exec: {command: [id]}}`} {
				got := expect.Judge(spec(t, s), plan.Answer{Outcome: verdict(probe.Failure, message)})
				if got.Result != v1alpha1.ResultFailure || len(got.Message) == 0 || len(got.Message) > 512 || !utf8.ValidString(got.Message) || strings.ContainsAny(got.Message, "\n\x00\x1b") {
					t.Errorf("%d bytes: %+v", len(got.Message), got)
				}
			}
		})
	}
}

package probe

import (
	"regexp"

	corev1 "k8s.io/api/core/v1"
)

// Meaning is what became of a probe's question, as far as the kubelet's words about it tell. A [Cause] is
// what was seen of an attempt of our own.
type Meaning string

// The meanings behind which may be a program that is ill, starting or out of reach.
const (
	// MeansNothing: the words tell nothing.
	MeansNothing Meaning = ""
	// MeansRefused: nothing listens where the probe asks.
	MeansRefused Meaning = "Refused"
	// MeansNoGRPC: no gRPC connection came about, which hides why: nothing listens, another protocol is spoken
	// there, or TLS.
	MeansNoGRPC Meaning = "NoGRPC"
	// MeansUnreachable: no connection came about within the timeout, or there is no way to the address.
	MeansUnreachable Meaning = "Unreachable"
	// MeansSlow: the answer did not come within the timeout.
	MeansSlow Meaning = "Slow"
	// MeansReset: the connection was cut before an answer.
	MeansReset Meaning = "Reset"
	// MeansBody: the answer began and did not end.
	MeansBody Meaning = "Body"
	// MeansIll: the program says that it is not well.
	MeansIll Meaning = "Ill"
	// MeansThrottled: the program answers fewer requests than it gets.
	MeansThrottled Meaning = "Throttled"
	// MeansCommandFailed: the command ran and failed.
	MeansCommandFailed Meaning = "CommandFailed"
)

// The meanings that lie in what is asked.
const (
	// MeansNoPort: the container has no such port.
	MeansNoPort Meaning = "NoPort"
	// MeansNoRequest: no request can be made from what the spec says.
	MeansNoRequest Meaning = "NoRequest"
	// MeansNoHost: the host that the probe names has no address.
	MeansNoHost Meaning = "NoHost"
	// MeansNoPath: the program answers and does not know the path, or not for GET.
	MeansNoPath Meaning = "NoPath"
	// MeansUnauthorized: the program answers and wants credentials.
	MeansUnauthorized Meaning = "Unauthorized"
	// MeansBadRequest: the program does not understand the request.
	MeansBadRequest Meaning = "BadRequest"
	// MeansStatus: the program answers with another status that is no success.
	MeansStatus Meaning = "Status"
	// MeansNotHTTP: what answers does not speak HTTP.
	MeansNotHTTP Meaning = "NotHTTP"
	// MeansPlain: the program speaks no TLS where the probe does.
	MeansPlain Meaning = "Plain"
	// MeansTLS: the program speaks TLS where the probe does not.
	MeansTLS Meaning = "TLS"
	// MeansHandshake: no TLS connection comes about, as where the program wants a client's certificate.
	MeansHandshake Meaning = "Handshake"
	// MeansNoHealth: the program speaks gRPC and has no health service.
	MeansNoHealth Meaning = "NoHealth"
	// MeansNoService: its health service does not know the service that is asked for.
	MeansNoService Meaning = "NoService"
	// MeansNoCommand: the command is not in the image, or must not be run.
	MeansNoCommand Meaning = "NoCommand"
	// MeansNotRun: the container runtime could not run the command.
	MeansNotRun Meaning = "NotRun"
	// MeansRedirectLost: the program redirects in a circle, or to what cannot be asked.
	MeansRedirectLost Meaning = "RedirectLost"
	// MeansRedirectedAway: it redirects to another host, which counts as a success.
	MeansRedirectedAway Meaning = "RedirectedAway"
)

// saying is words, and what they mean.
type saying struct {
	words *regexp.Regexp
	means Meaning
}

// Each table is tried in its order: the words of one meaning may be quoted within those of another.
var (
	// commandWords are those of the kubelet, of container runtimes and of shells (pkg/probe/exec, cri-client's
	// remote_runtime.go; runc). Whatever else a command prints is its own matter.
	commandWords = []saying{
		{regexp.MustCompile(`^command timed out: |^command ".*" timed out$|timeout \S+ exceeded: context deadline exceeded`), MeansSlow},
		{regexp.MustCompile(`executable file not found|\bexit(?:ed)?(?: with)?(?: exit)?(?: status| code)? 12[67]\b|(?:no such file or directory|permission denied): unknown`), MeansNoCommand},
		{regexp.MustCompile(`^rpc error: code = |failed to exec in container|^OCI runtime exec failed`), MeansNotRun},
		{regexp.MustCompile(`sh: (?:(?:line )?\d+: )?[\w./-]+: (?:command )?not found`), MeansNoCommand},
	}
	// grpcWords are those of pkg/probe/grpc, which quotes what the server says.
	grpcWords = []saying{
		{regexp.MustCompile(`failed to connect service`), MeansNoGRPC},
		{regexp.MustCompile(`health rpc did not complete`), MeansSlow},
		{regexp.MustCompile(`does not implement the grpc health protocol`), MeansNoHealth},
		{regexp.MustCompile(`rpc error: code = (?:NotFound\b|\w+ desc = .*unknown service)`), MeansNoService},
		{regexp.MustCompile(`rpc error: code = (?:Unauthenticated|PermissionDenied)\b`), MeansUnauthorized},
		{regexp.MustCompile(`rpc error: code = ResourceExhausted\b`), MeansThrottled},
		{regexp.MustCompile(`service unhealthy|rpc error: code = `), MeansIll},
	}
	// networkWords are those of Go's net, net/http and crypto/tls, which pkg/probe/http and tcp pass on, and
	// those of the two and of pkg/probe/util.go themselves.
	networkWords = []saying{
		{regexp.MustCompile(`strconv\.Atoi: parsing|invalid port number`), MeansNoPort},
		{regexp.MustCompile(`^Probe terminated redirects`), MeansRedirectedAway},
		{regexp.MustCompile(`statuscode: 400\b`), MeansBadRequest},
		{regexp.MustCompile(`statuscode: (?:40[137]|511)\b`), MeansUnauthorized},
		{regexp.MustCompile(`statuscode: (?:40[45]|410)\b`), MeansNoPath},
		{regexp.MustCompile(`statuscode: 429\b`), MeansThrottled},
		{regexp.MustCompile(`statuscode: 5\d\d\b`), MeansIll},
		{regexp.MustCompile(`statuscode: \d+`), MeansStatus},
		{regexp.MustCompile(`server gave HTTP response to HTTPS client|first record does not look like a TLS handshake`), MeansPlain},
		{regexp.MustCompile(`malformed HTTP .*\\x15\\x03`), MeansTLS},
		{regexp.MustCompile(`malformed HTTP |malformed MIME header|server response headers exceeded`), MeansNotHTTP},
		{regexp.MustCompile(`remote error: tls: |: tls: |certificate required|bad certificate|handshake failure|protocol version not supported`), MeansHandshake},
		// The API server admits no other scheme in a probe than HTTP and HTTPS: another is a redirect's.
		{regexp.MustCompile(`stopped after \d+ redirects|failed to parse Location header|unsupported protocol scheme`), MeansRedirectLost},
		{regexp.MustCompile(`invalid header field|no Host in request URL`), MeansNoRequest},
		{regexp.MustCompile(`no such host|server misbehaving|: lookup `), MeansNoHost},
		{regexp.MustCompile(`while reading body|^unexpected EOF$|invalid byte in chunk length|malformed chunked encoding`), MeansBody},
		{regexp.MustCompile(`connection refused`), MeansRefused},
		// Behind these stands "(Client.Timeout exceeded while awaiting headers)" as well, but no question was put.
		// Of HTTPS, to wait for a connection is to wait for the handshake, too.
		{regexp.MustCompile(`no route to host|(?:network|host) is (?:unreachable|down)|dial tcp .*(?:i/o timeout|connection timed out|operation was canceled|deadline exceeded)|"http:[^"]*": net/http: request canceled while waiting for connection`), MeansUnreachable},
		{regexp.MustCompile(`awaiting headers|TLS handshake timeout|i/o timeout|context deadline exceeded|request canceled`), MeansSlow},
		{regexp.MustCompile(`connection reset by peer|broken pipe|EOF$|server closed (?:idle )?connection`), MeansReset},
	}
)

// mostWords is how many bytes of words are read: more than the kubelet quotes, which is 10 KiB of a body or of
// what a command printed. Anybody who may write Events can write longer ones.
const mostWords = 16 << 10

// MeaningOf says what became of a probe's question by the words that the kubelet quotes of it: what stands in
// an event behind "probe failed: ", "probe errored and resulted in … state: " or "probe warning: ".
func MeaningOf(spec *corev1.Probe, words string) Meaning {
	sayings, otherwise := networkWords, MeansNothing
	switch {
	case spec.Exec != nil:
		sayings, otherwise = commandWords, MeansCommandFailed
	case spec.GRPC != nil:
		sayings = grpcWords
	}
	words = words[:min(mostWords, len(words))]
	for _, s := range sayings {
		if s.words.MatchString(words) {
			return s.means
		}
	}
	return otherwise
}

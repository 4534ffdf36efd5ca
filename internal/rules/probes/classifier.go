package probes

import (
	"regexp"
	"strings"
)

// answer is what became of a probe's question, as far as the kubelet's words tell.
type answer string

// The answers. Of the first group the program can be the matter, of the second only what the probe asks.
const (
	answerUnknown answer = ""
	// answerRefused: nothing listens where the probe asks.
	answerRefused answer = "refused"
	// answerUnreachable: nothing came back from the address.
	answerUnreachable answer = "unreachable"
	// answerSlow: the answer did not come within the timeout.
	answerSlow answer = "slow"
	// answerReset: the connection was cut before an answer.
	answerReset answer = "reset"
	// answerBody: the answer began and did not end.
	answerBody answer = "body"
	// answerIll: the program says that it is not well.
	answerIll answer = "ill"
	// answerCommandFailed: the command ran and failed.
	answerCommandFailed answer = "command failed"

	// answerNoPort: the container has no such port.
	answerNoPort answer = "no port"
	// answerNoPath: the program answers and does not know the path.
	answerNoPath answer = "no path"
	// answerUnauthorized: the program answers and wants credentials.
	answerUnauthorized answer = "unauthorized"
	// answerBadRequest: the program does not understand the question.
	answerBadRequest answer = "bad request"
	// answerPlain: the program speaks HTTP where the probe speaks HTTPS.
	answerPlain answer = "plain"
	// answerTLS: the program speaks TLS where the probe speaks plain HTTP.
	answerTLS answer = "tls"
	// answerHandshake: no TLS connection comes about, as where the program wants a client's certificate.
	answerHandshake answer = "handshake"
	// answerNoHealth: the program speaks gRPC and has no health service.
	answerNoHealth answer = "no health service"
	// answerNoService: its health service does not know the service that is asked for.
	answerNoService answer = "no service"
	// answerNoCommand: the command is not in the image.
	answerNoCommand answer = "no command"
)

// classes are the words of failing probes, in the order in which they are tried: the kubelet's own
// (k8s.io/kubernetes/pkg/probe/http, tcp, grpc, exec and util.go) and those of Go's net/http and crypto/tls,
// which it passes on.
var classes = []struct {
	words *regexp.Regexp
	is    answer
}{
	{regexp.MustCompile(`strconv\.Atoi: parsing|invalid port number`), answerNoPort},
	{regexp.MustCompile(`server gave HTTP response to HTTPS client|first record does not look like a TLS handshake`), answerPlain},
	{regexp.MustCompile(`malformed HTTP (?:response|status code|version).*\\x15\\x03`), answerTLS},
	{regexp.MustCompile(`certificate required|bad certificate|handshake failure|protocol version not supported`), answerHandshake},
	{regexp.MustCompile(`does not implement the grpc health protocol`), answerNoHealth},
	{regexp.MustCompile(`health rpc probe failed: .*unknown service`), answerNoService},
	{regexp.MustCompile(`failed to connect service`), answerRefused},
	{regexp.MustCompile(`executable file not found|(?:exited with|exit status) 12[67]\b|no such file or directory: unknown`), answerNoCommand},
	{regexp.MustCompile(`while reading body|unexpected EOF|invalid byte in chunk length`), answerBody},
	{regexp.MustCompile(`command timed out|timed out after|awaiting headers|health rpc did not complete`), answerSlow},
	{regexp.MustCompile(`connection refused`), answerRefused},
	{regexp.MustCompile(`connection reset by peer|: EOF$`), answerReset},
	{regexp.MustCompile(`i/o timeout|no route to host`), answerUnreachable},
	{regexp.MustCompile(`context deadline exceeded`), answerSlow},
	{regexp.MustCompile(`statuscode: 401`), answerUnauthorized},
	{regexp.MustCompile(`statuscode: 40[45]`), answerNoPath},
	{regexp.MustCompile(`statuscode: 403`), answerUnauthorized},
	{regexp.MustCompile(`statuscode: 400`), answerBadRequest},
	{regexp.MustCompile(`statuscode: (?:429|5\d\d)|service unhealthy`), answerIll},
}

// classify says what became of a probe's question by what the kubelet quotes of it.
func (p probe) classify(message string) answer {
	for _, c := range classes {
		if c.words.MatchString(message) {
			return c.is
		}
	}
	if p.spec.Exec != nil && strings.TrimSpace(message) != "" {
		return answerCommandFailed
	}
	return answerUnknown
}

package probetest

import (
	"crypto/tls"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/internal/probe"
)

// HTTPCase is a server, a question, and what the kubelet makes of the answer.
type HTTPCase struct {
	// Serve is what the server does; nil: there is none.
	Serve Serve
	// Config gives the server TLS.
	Config func(tb testing.TB) *tls.Config
	// Get says how it is asked. The port is filled in.
	Get corev1.HTTPGetAction
	// Hangs: the attempt ends by its timeout.
	Hangs bool

	// Want is the kubelet's verdict, in which SERVER is the server's address, CLIENT the
	// prober's, and TIMEOUT what net/http says of one.
	Want probe.Verdict
	// Difference is why somebody stricter disagrees.
	Difference probe.Difference
	// Differs says why the kubelet's own text is another, where it is.
	Differs string
}

// Timeout is what an attempt may take: a second where nothing else ends it, and elsewhere more than
// enough for a busy machine.
func (c HTTPCase) Timeout() time.Duration {
	if c.Hangs {
		return time.Second
	}
	return 20 * time.Second
}

// Start starts the server, and returns what asks it.
func (c HTTPCase) Start(tb testing.TB) (get *corev1.HTTPGetAction, port int) {
	tb.Helper()
	port = closedPort
	if c.Serve != nil {
		var config *tls.Config
		if c.Config != nil {
			config = c.Config(tb)
		}
		port = Listen(tb, config, c.Serve)
	}
	get = c.Get.DeepCopy()
	get.Port = intstr.FromInt(port)
	return get, port
}

// closedPort is one on which nothing listens (tcpmux).
const closedPort = 1

// say answers a request with text, and closes.
func say(text string) Serve {
	return func(c *Conn) {
		c.ReadHead()
		c.Say(text)
	}
}

// sayAndHang answers a request with text, and does nothing more.
func sayAndHang(text string) Serve {
	return func(c *Conn) {
		c.ReadHead()
		c.Say(text)
		c.Hang()
	}
}

// answer is a whole answer with a status line and a body.
func answer(status, headers, body string) Serve {
	return say("HTTP/1.1 " + status + "\r\nConnection: close\r\n" + headers + "\r\n" + body)
}

// routes answers by the path asked.
func routes(answers map[string]Serve) Serve {
	return func(c *Conn) {
		fields := strings.Fields(c.ReadHead())
		if len(fields) < 2 {
			return
		}
		serve, known := answers[fields[1]]
		if !known {
			serve = answer("404 Not Found", "", "")
		}
		again := *c
		again.reader.Reset(strings.NewReader("\r\n")) // the head is read already
		serve(&again)
	}
}

func passed(result probe.Result, message string) probe.Verdict {
	return probe.Verdict{Result: result, Message: message}
}

func failed(message string) probe.Verdict {
	return probe.Verdict{Result: probe.Failure, Message: message}
}

func thrownAway(message string) probe.Verdict {
	return probe.Verdict{Result: probe.Failure, Message: message, Discarded: true}
}

const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n"

// HTTP are the cases that plain servers make. The sentences are their names.
func HTTP() map[string]HTTPCase {
	cases := map[string]HTTPCase{
		"200 with a body":       {Serve: answer("200 OK", "", "fine"), Want: passed(probe.Success, "fine")},
		"200 without a body":    {Serve: answer("200 OK", "Content-Length: 0\r\n", ""), Want: passed(probe.Success, "")},
		"200 of HTTP/1.0":       {Serve: say("HTTP/1.0 200 OK\r\n\r\nold"), Want: passed(probe.Success, "old")},
		"200 in chunks":         {Serve: answer("200 OK", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), Want: passed(probe.Success, "abc")},
		"204":                   {Serve: answer("204 No Content", "", ""), Want: passed(probe.Success, "")},
		"206":                   {Serve: answer("206 Partial Content", "", "part"), Want: passed(probe.Success, "part")},
		"299":                   {Serve: answer("299 Odd", "", "odd"), Want: passed(probe.Success, "odd")},
		"100 and then 200":      {Serve: say("HTTP/1.1 100 Continue\r\n\r\n" + ok + "\r\nfine"), Want: passed(probe.Success, "fine")},
		"103 and then 200":      {Serve: say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "\r\nfine"), Want: passed(probe.Success, "fine")},
		"a body that is packed": {Serve: answer("200 OK", "Content-Encoding: gzip\r\n", "not unpacked"), Want: passed(probe.Success, "not unpacked")},
		"101":                   {Serve: answer("101 Switching Protocols", "", ""), Want: failed("HTTP probe failed with statuscode: 101")},
		"no status":             {Serve: say("HTTP/1.1 2xx OK\r\n\r\n"), Want: failed(`Get "http://SERVER": net/http: HTTP/1.x transport connection broken: malformed HTTP status code "2xx"`)},
		"only text":             {Serve: say("I am fine\r\n"), Want: failed(`Get "http://SERVER": net/http: HTTP/1.x transport connection broken: malformed HTTP status code "am"`)},
		"nothing at all":        {Serve: say(""), Want: failed(`Get "http://SERVER": EOF`)},
		"a header without end":  {Serve: sayAndHang("HTTP/1.1 200 OK\r\nX-Slow: "), Hangs: true, Want: failed(awaiting)},
		"no answer":             {Serve: sayAndHang(""), Hangs: true, Want: failed(awaiting)},
		"nothing listens":       {Want: failed(`Get "http://SERVER": dial tcp SERVER: connect: connection refused`)},
		"a reset":               {Serve: func(c *Conn) { c.ReadHead(); c.Reset() }, Want: failed(`Get "http://SERVER": read tcp CLIENT->SERVER: read: connection reset by peer`)},
		"a body cut short":      {Serve: answer("200 OK", "Content-Length: 9\r\n", "half"), Want: thrownAway("unexpected EOF"), Difference: probe.BodyLost},
		"500 with a body cut short": {
			Serve: answer("500 Oops", "Content-Length: 9\r\n", "half"), Want: thrownAway("unexpected EOF"), Difference: probe.BodyLost,
		},
		"a broken chunk": {
			Serve: answer("200 OK", "Transfer-Encoding: chunked\r\n", "zz\r\n"),
			Want:  thrownAway("invalid byte in chunk length"), Difference: probe.BodyLost,
		},
		"a body that hangs": {
			Serve: sayAndHang(ok + "Content-Length: 9\r\n\r\nhalf"), Hangs: true,
			Want: thrownAway("context deadline exceeded (Client.Timeout or context cancellation while reading body)"), Difference: probe.BodyLost,
		},
		"500 with a body that hangs": {
			Serve: sayAndHang("HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nhalf"), Hangs: true,
			Want: thrownAway("context deadline exceeded (Client.Timeout or context cancellation while reading body)"), Difference: probe.BodyLost,
		},
		"a body of one byte less than the limit": {
			Serve: answer("200 OK", "", strings.Repeat("x", probe.KubeletBodyLimit-1)),
			Want:  passed(probe.Success, strings.Repeat("x", probe.KubeletBodyLimit-1)),
		},
		"a body that hangs after the limit": {
			Serve: sayAndHang(ok + "\r\n" + strings.Repeat("x", probe.KubeletBodyLimit)),
			Want:  passed(probe.Success, strings.Repeat("x", probe.KubeletBodyLimit)),
		},
		"a body without end": {
			Serve: func(c *Conn) { c.ReadHead(); c.Say(ok + "\r\n"); c.Flood(strings.Repeat("x", 4096)) },
			Want:  passed(probe.Success, strings.Repeat("x", probe.KubeletBodyLimit)),
		},
		"headers without end": {
			Serve:   func(c *Conn) { c.ReadHead(); c.Say(ok); c.Flood("X-Again: " + strings.Repeat("x", 4096) + "\r\n") },
			Want:    failed(tooMuchHead),
			Differs: bothRefuse,
		},
		"hints without end": {
			Serve:   func(c *Conn) { c.ReadHead(); c.Flood("HTTP/1.1 103 Early Hints\r\n\r\n") },
			Want:    failed(tooMuchHead),
			Differs: bothRefuse,
		},
		"a value of a header that is none": {
			Serve: answer("200 OK", "", ""), Get: corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "X-A", Value: "a\r\nX-B: b"}}},
			Want: failed(`Get "http://SERVER": net/http: invalid header field value for "X-A"`),
		},
		"a name of a header that is none": {
			Serve: answer("200 OK", "", ""), Get: corev1.HTTPGetAction{HTTPHeaders: []corev1.HTTPHeader{{Name: "X A", Value: "a"}}},
			Want: failed(`Get "http://SERVER": net/http: invalid header field name "X A"`),
		},
		"a path that looks like a scheme": {
			Serve: answer("200 OK", "", ""), Get: corev1.HTTPGetAction{Path: "mailto:me"},
			Want: failed(`Get "http:me": http: no Host in request URL`),
		},
		"a scheme that HTTP has not": {
			Serve: answer("200 OK", "", ""), Get: corev1.HTTPGetAction{Scheme: "FTP"},
			Want: failed(`Get "ftp://SERVER": unsupported protocol scheme "ftp"`),
		},
	}
	for _, status := range []string{"400", "401", "403", "429", "500", "503", "600", "999"} {
		cases[status] = HTTPCase{Serve: answer(status+" No", "", "secret"), Want: failed("HTTP probe failed with statuscode: " + status)}
	}
	// 1xx statuses that are no final answer are followed by nothing here.
	cases["199 and nothing more"] = HTTPCase{Serve: answer("199 Odd", "", ""), Want: failed(`Get "http://SERVER": net/http: HTTP/1.x transport connection broken: unexpected EOF`)}
	maps.Copy(cases, redirected())
	maps.Copy(cases, secured())
	return cases
}

const awaiting = `Get "http://SERVER": TIMEOUT`

const (
	tooMuchHead = `Get "http://SERVER": net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 1048576 bytes; aborted`
	bothRefuse  = "headers are read up to 1 MiB here, and up to 10 MiB by the kubelet"
)

const terminated = "Probe terminated redirects, Response body: "

func redirected() map[string]HTTPCase {
	to := func(location string) Serve {
		return answer("302 Found", "Location: "+location+"\r\nContent-Length: 0\r\n", "")
	}
	get := corev1.HTTPGetAction{Path: "/a"}
	cases := map[string]HTTPCase{
		"a redirect to another name": {
			Serve: to("http://localhost:{PORT}/"), Want: passed(probe.Warning, terminated), Difference: probe.RedirectedAway,
		},
		"a redirect to a login elsewhere": {
			Serve: to("https://login.example.org/?next=x"), Want: passed(probe.Warning, terminated), Difference: probe.RedirectedAway,
		},
		"a redirect to another port of the host": {
			Serve: to("http://127.0.0.1:1/"), Want: failed(`Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused`),
		},
		"a redirect to itself for ever": {Serve: to("/loop"), Want: failed(`Get "/loop": stopped after 10 redirects`)},
		"a redirect to nowhere": {
			Serve: to("http://[::1"),
			Want:  failed(`Get "http://SERVER": failed to parse Location header "http://[::1": parse "http://[::1": missing ']' in host`),
		},
		"a redirect to another scheme of the host": {
			Serve: to("ftp://127.0.0.1/"), Want: failed(`Get "ftp://127.0.0.1/": unsupported protocol scheme "ftp"`),
		},
		"a redirect to a page that is there": {
			Serve: routes(map[string]Serve{"/a": to("/b"), "/b": answer("200 OK", "", "there")}), Get: get, Want: passed(probe.Success, "there"),
		},
		"a redirect to a page that fails": {
			Serve: routes(map[string]Serve{"/a": to("/b"), "/b": answer("500 Oops", "", "")}), Get: get,
			Want: failed("HTTP probe failed with statuscode: 500"),
		},
		"a redirect to a page of half a body": {
			Serve: routes(map[string]Serve{"/a": to("/b"), "/b": answer("200 OK", "Content-Length: 9\r\n", "half")}), Get: get,
			Want: thrownAway("unexpected EOF"), Difference: probe.BodyLost,
		},
	}
	for _, status := range []string{"300", "304", "305", "306", "399"} {
		cases[status+" with a location"] = HTTPCase{
			Serve: answer(status+" Odd", "Location: http://elsewhere.example.org/\r\nContent-Length: 0\r\n", ""), Want: passed(probe.Warning, terminated),
		}
	}
	for _, status := range []string{"301", "302", "307", "308"} {
		cases[status+" without a location"] = HTTPCase{Serve: answer(status+" Odd", "", ""), Want: passed(probe.Warning, terminated)}
	}
	return cases
}

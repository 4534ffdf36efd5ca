package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// KubeletBodyLimit is how much of an answer's body, or of a command's output, the kubelet reads, in
// bytes (pkg/probe/http/http.go, pkg/probe/exec/exec.go).
const KubeletBodyLimit = 10 << 10

// maxRedirects is how many requests may have been made when one more redirect is met.
const maxRedirects = 10

// HTTP asks a URL with GET, in a connection of its own.
type HTTP struct {
	URL *url.URL
	// Header is sent as it is: [Resolve] adds what the kubelet adds. It is not changed.
	Header http.Header
	// Host is sent in place of the URL's host; "" for the latter.
	Host string
	// BodyLimit is how much of the body is kept, in bytes; 0 is [KubeletBodyLimit].
	BodyLimit int64
	// Authorization is sent as the header of that name to URL's scheme, host and port alone, wherever
	// redirects lead; "" for none.
	Authorization string
	// Certificates has the outcome tell of those that the server sent.
	Certificates bool
}

// HTTPAnswer is the last answer to an HTTP request, after redirects.
type HTTPAnswer struct {
	// Status is its code.
	Status int
	Header http.Header
	// Body is as much of it as was read.
	Body string
	// Cut tells that the limit was reached: there may be more.
	Cut bool
	// URL is who gave the answer.
	URL *url.URL
}

// String implements [Target].
func (h HTTP) String() string { return "GET " + h.URL.String() }

func (h HTTP) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	x, ctx, over := begin(ctx, p.now, h.URL.Hostname())
	defer over()
	h.ask(ctx, p, timeout, x)
	return h.outcome(p, x)
}

// ask makes the request and reads the answer. It returns nothing, and what is made of an answer is made
// elsewhere: thousands of these wait for their answers at a time, each on a stack of its own, which is of the next
// power of two.
func (h HTTP) ask(ctx context.Context, p *Prober, timeout time.Duration, x *exchange) {
	client := http.Client{Transport: p.transport, Timeout: timeout, CheckRedirect: sameHost}
	if h.Authorization != "" {
		client.CheckRedirect = sameHostAuthorized
	}
	response, err := client.Do(h.request(ctx))
	if err != nil {
		x.err = err
		return
	}
	defer response.Body.Close()
	x.response = response
	x.body, x.bodyErr = io.ReadAll(io.LimitReader(response.Body, h.limit()))
}

func (h HTTP) request(ctx context.Context) *http.Request {
	header := h.Header // which the client leaves as it is
	if h.Authorization != "" {
		if header = maps.Clone(header); header == nil {
			header = http.Header{}
		}
		header.Set("Authorization", h.Authorization)
	}
	return (&http.Request{
		Method:     http.MethodGet,
		URL:        h.URL,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
		Host:       h.Host,
	}).WithContext(ctx)
}

// limit is how much of a body is kept, in bytes.
func (h HTTP) limit() int64 {
	if h.BodyLimit <= 0 {
		return KubeletBodyLimit
	}
	return h.BodyLimit
}

// outcome says what an exchange came to.
func (h HTTP) outcome(p *Prober, x *exchange) *Outcome {
	if x.err != nil {
		outcome := stopped(x.err, x.err.Error())
		outcome.Phases = x.timer.done()
		return &outcome
	}
	body := string(x.body)
	outcome := judge(x.response, body, x.bodyErr)
	outcome.Phases = x.timer.done()
	outcome.HTTP = &HTTPAnswer{
		Status: x.response.StatusCode,
		Header: x.response.Header,
		Body:   body,
		Cut:    int64(len(body)) >= h.limit(),
		URL:    x.response.Request.URL,
	}
	if h.Certificates {
		outcome.withCertificates(x.response.TLS, p.now())
	}
	return &outcome
}

// judge gives the verdicts over an answer. The error is that of reading its body.
func judge(response *http.Response, body string, err error) Outcome {
	status := response.StatusCode
	if len(body) >= KubeletBodyLimit {
		body = body[:KubeletBodyLimit]
	} else if err != nil {
		return discarded(Failure, err, BodyLost).bodyLost(err)
	}
	var outcome Outcome
	switch {
	case status >= http.StatusOK && status < http.StatusMultipleChoices:
		outcome = same(Success, body)
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		outcome = same(Warning, "Probe terminated redirects, Response body: "+body)
		if elsewhere, err := response.Location(); err == nil && redirects(status) {
			outcome.Strict = Verdict{Result: Failure, Message: "redirected to another host: " + elsewhere.Host}
			outcome.Difference = RedirectedAway
		}
	default:
		// Without the body, which may hold secrets and would be public in an event:
		// https://github.com/kubernetes/kubernetes/issues/99425
		outcome = same(Failure, fmt.Sprintf("HTTP probe failed with statuscode: %d", status))
	}
	if err != nil {
		outcome.Strict = Verdict{Result: Failure, Message: err.Error()}
		outcome.Difference = BodyLost
		outcome = outcome.bodyLost(err)
	}
	return outcome
}

// bodyLost keeps what ended a body too early. That it was cut off says more than how.
func (o Outcome) bodyLost(err error) Outcome {
	o = o.because(err)
	if o.Cause != TimedOut {
		o.Cause = BodyIncomplete
	}
	return o
}

// redirects tells whether Go's client follows a status, which is when its Location counts.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

// sameHost follows redirects as long as they stay with the host that was asked first, whatever
// the port and scheme.
func sameHost(next *http.Request, via []*http.Request) error {
	if next.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

// sameHostAuthorized is sameHost, and keeps the credentials to whom they were meant for: another port of
// the host may be somebody else's, and without TLS everybody on the way reads along.
func sameHostAuthorized(next *http.Request, via []*http.Request) error {
	if err := sameHost(next, via); err != nil {
		return err
	}
	if next.URL.Scheme != via[0].URL.Scheme || portOf(next.URL) != portOf(via[0].URL) {
		next.Header.Del("Authorization")
	}
	return nil
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

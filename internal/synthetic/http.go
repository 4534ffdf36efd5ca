package synthetic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/secret"
)

const (
	// requestTime is the longest that one request may take, its body included.
	requestTime = 30 * time.Second
	// mostBody is how much of a body is read where nothing is looked for in it.
	mostBody = 1 << 20
	// userAgent names the check to servers.
	userAgent = "maek-checker"
)

var httpOptions = []Option{
	{Name: "CHECK_URL", Doc: "Address to send requests to, http or https."},
	{Name: "COUNT", Default: "1", Doc: "Number of requests, 1 to 10000. 0, which is Kuberhealthy's default and tells nothing, counts as 1."},
	{Name: "SECONDS", Default: "0", Doc: "Pause between two requests, in seconds, 0 to 3600."},
	{Name: "PASSING_PERCENT", Default: "100", Doc: "Share of the requests that has to succeed, 1 to 100. 0 counts as 100."},
	{Name: "REQUEST_TYPE", Default: http.MethodGet, Doc: "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS."},
	{Name: "REQUEST_BODY", Default: "{}", Doc: "Body of a POST, PUT, PATCH or DELETE."},
	{Name: "EXPECTED_STATUS_CODE", Default: "200", Doc: "Status code of a success, 100 to 599; redirects are followed where it is none of 300 to 399. 0 counts as 200."},
}

var _ = All.Add(Scenario{
	Name:    "http",
	Doc:     "Sends requests to an address and compares the status code. A failure means that the address does not serve.",
	Images:  []string{"http-check"},
	Options: httpOptions,
	Time:    5 * time.Minute,
	Run:     runHTTP,
})

// httpTarget is what requests are sent to.
type httpTarget struct {
	address      *url.URL
	method, body string
	status       int
	client       *http.Client
}

func runHTTP(ctx context.Context, env Environment) (Result, error) {
	o := env.read(httpOptions)
	target := httpTarget{
		address: o.address("CHECK_URL"),
		method: o.choice("REQUEST_TYPE", http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
			http.MethodDelete, http.MethodOptions),
		body:   o.text("REQUEST_BODY"),
		status: o.integer("EXPECTED_STATUS_CODE", 0, 599),
	}
	if target.status == 0 {
		target.status = http.StatusOK
	}
	count := max(1, o.integer("COUNT", 0, 10000))
	pause := time.Duration(o.integer("SECONDS", 0, 3600)) * time.Second
	percent := o.integer("PASSING_PERCENT", 0, 100)
	if percent == 0 {
		percent = 100
	}
	if err := o.err(); err != nil {
		return Result{}, err
	}
	target.client = newHTTPClient(requestTime, target.status >= 300 && target.status < 400)

	var failed int
	var last error
	done := 0
	for done < count {
		if err := target.try(ctx); err != nil {
			failed++
			last = err
			env.Log.Info("a request failed", "url", show(target.address), "error", err)
		}
		done++
		if done == count || !waitFor(ctx, env, pause) {
			break
		}
	}
	// Rounded up: half of one request is one.
	needed := (count*percent + 99) / 100
	passed := done - failed
	if passed >= needed {
		var result Result
		if failed > 0 {
			result.Notes = []string{fmt.Sprintf("%d of %d requests to %s failed, and PASSING_PERCENT=%d allows that; the last one: %v", failed, done, show(target.address), percent, last)}
		}
		return result, nil
	}
	text := fmt.Sprintf("unable to retrieve a valid response (expected status: %d) from %s %s checks failed %d out of %d attempts",
		target.status, target.method, show(target.address), failed, done)
	if last != nil {
		text += ": " + last.Error()
	}
	if done < count {
		text += fmt.Sprintf("; the time of the run was over after %d of %d requests: make COUNT or SECONDS smaller, or the timeout longer", done, count)
	}
	return Result{Errors: []string{text}}, nil
}

// try sends one request.
func (t httpTarget) try(ctx context.Context) error {
	var body io.Reader
	switch t.method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		body = strings.NewReader(t.body)
	}
	request, err := http.NewRequestWithContext(ctx, t.method, t.address.String(), body)
	if err != nil {
		return reason(err)
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := t.client.Do(request)
	if err != nil {
		return reason(err)
	}
	defer response.Body.Close()
	// A body that breaks off is a failure for whoever reads it.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, mostBody)); err != nil {
		return fmt.Errorf("the server answered %d, and its body could not be read: %w", response.StatusCode, reason(err))
	}
	if response.StatusCode != t.status {
		return fmt.Errorf("the server answered %s", strconv.Itoa(response.StatusCode)+" "+http.StatusText(response.StatusCode))
	}
	return nil
}

// address returns an option that is the address of something on the web.
func (o *options) address(name string) *url.URL {
	const instead = "an address such as https://example.com/healthz"
	value := o.needed(name, instead)
	address, err := url.Parse(value)
	if value != "" && (err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "") {
		o.refuse(name, secret.Redact(value), instead)
	}
	return address
}

// newHTTPClient returns a client that makes a connection for each request, so that each tries the whole way.
func newHTTPClient(timeout time.Duration, keepRedirect bool) *http.Client {
	c := &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true},
	}
	if keepRedirect {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c
}

// reason takes off the method and the address that net/http puts before an error: the sentence has them
// already, and a password in the address stays where it is.
func reason(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// show writes an address without a password.
func show(address *url.URL) string { return secret.Redact(address.Redacted()) }

// waitFor waits, and tells whether the run goes on.
func waitFor(ctx context.Context, env Environment, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := env.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// stageTimeout bounds each step of looking into an API server that does not answer: a lost SYN
	// is sent again after 1 and 3 seconds, so an address that is silent for 5 is not just unlucky.
	stageTimeout = 5 * time.Second
	// maxAddresses bounds how many addresses of one name are dialed.
	maxAddresses = 8
)

// lookInto finds the layer at which requests stop, from the outside in, after one failed with the
// given status (0 where there was no answer) and error.
func (c *Client) lookInto(ctx context.Context, api *snapshot.API, status int, err error) {
	switch {
	case status != 0:
		api.Failure = c.rejected(status, err)
		return
	case strings.Contains(err.Error(), "getting credentials:"):
		// The kubeconfig's exec plugin failed (k8s.io/client-go/plugin/pkg/client/auth/exec): no
		// request was ever sent.
		api.Failure = &snapshot.APIFailure{
			Layer: snapshot.LayerAuthentication, Reason: snapshot.OtherFailure,
			Message: "the kubeconfig's credential plugin failed: " + strings.TrimPrefix(words(err), "getting credentials: "),
		}
		return
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// Whoever hangs up before the answer has not asked.
		api.Asked = false
		api.Failure = &snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.OtherFailure, Message: "interrupted"}
		return
	}
	// The time for all reading may be over; to see how far one gets is still worth some seconds.
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	ctx = context.WithoutCancel(ctx)
	if proxy := c.proxy(); proxy != "" {
		api.Failure = &snapshot.APIFailure{
			Layer: snapshot.LayerConnect, Reason: dialReason(err), Message: "through the proxy " + proxy + ": " + words(err),
		}
		return
	}
	for _, stage := range []func(context.Context, *snapshot.API) *snapshot.APIFailure{c.resolve, c.connect, c.handshake} {
		if api.Failure = stage(ctx, api); api.Failure != nil {
			break
		}
	}
	c.livez(ctx, api.Addresses)
	if api.Failure != nil {
		return
	}
	api.Failure = &snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: dialReason(err), Message: words(err)}
	if late && slices.ContainsFunc(api.Addresses, func(a snapshot.Address) bool { return a.LiveStatus != 0 }) {
		// It answers who gives it time, and this was not enough.
		api.Asked = false
		api.Failure.Reason, api.Failure.Message = snapshot.OtherFailure, "the time for reading the cluster ("+c.options.Timeout.String()+") was over"
	}
}

// rejected makes a failure of an answer that is an error.
func (c *Client) rejected(status int, err error) *snapshot.APIFailure {
	f := &snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: snapshot.OtherFailure, Status: status, Message: words(err)}
	switch {
	case status == http.StatusUnauthorized:
		f.Layer, f.Reason = snapshot.LayerAuthentication, snapshot.Unauthorized
		if at := c.clientCertificateExpired(c.clock.at(c.options.Now())); !at.IsZero() {
			f.Message += fmt.Sprintf(" (the client certificate in the kubeconfig expired at %s)", at.UTC().Format(time.RFC3339))
		}
	case status == http.StatusTooManyRequests:
		f.Reason = snapshot.TooManyRequests
	case status >= http.StatusInternalServerError:
		f.Reason = snapshot.ServerError
	}
	return f
}

// resolve looks up the server's name.
func (c *Client) resolve(ctx context.Context, api *snapshot.API) *snapshot.APIFailure {
	ctx, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, c.server.Hostname())
	if err != nil {
		f := &snapshot.APIFailure{Layer: snapshot.LayerName, Reason: snapshot.OtherFailure, Message: oneLine(err.Error())}
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			switch {
			case dns.IsNotFound:
				f.Reason = snapshot.NameUnknown
			case dns.IsTimeout:
				f.Reason = snapshot.NoAnswer
			}
		}
		return f
	}
	if len(ips) == 0 {
		return &snapshot.APIFailure{
			Layer: snapshot.LayerName, Reason: snapshot.NameUnknown, Message: "lookup " + c.server.Hostname() + ": no addresses",
		}
	}
	slices.Sort(ips)
	api.Addresses = nil
	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		api.Addresses = append(api.Addresses, snapshot.Address{Address: net.JoinHostPort(ip, port(c.server))})
	}
	return nil
}

// connect opens a TCP connection to every address, all at once. One that opens is enough.
func (c *Client) connect(ctx context.Context, api *snapshot.API) *snapshot.APIFailure {
	ctx, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	errs := make([]error, len(api.Addresses))
	var wg sync.WaitGroup
	for i, a := range api.Addresses {
		wg.Go(func() {
			conn, err := c.dial(ctx, a.Address)
			if err != nil {
				errs[i] = err
				return
			}
			_ = conn.Close()
		})
	}
	wg.Wait()
	var failure *snapshot.APIFailure
	opened := false
	for i, err := range errs {
		if err == nil {
			opened = true
			continue
		}
		api.Addresses[i].Error = dialWords(err)
		reason := dialReason(err)
		// Refused says the most: a machine is there, and nothing listens on it.
		if failure == nil || reason == snapshot.ConnectionRefused {
			failure = &snapshot.APIFailure{
				Layer: snapshot.LayerConnect, Reason: reason, Message: api.Addresses[i].Address + ": " + dialWords(err),
			}
		}
	}
	if opened {
		return nil
	}
	return failure
}

func (c *Client) stageTimeout() time.Duration { return min(stageTimeout, c.options.RequestTimeout) }

func (c *Client) dial(ctx context.Context, address string) (net.Conn, error) {
	if c.config.Dial != nil {
		return c.config.Dial(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}

// proxy is the proxy on the way to the server, without credentials; empty where there is none.
func (c *Client) proxy() string {
	find := c.config.Proxy
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	u, err := find(&http.Request{URL: c.server, Header: http.Header{}})
	if err != nil || u == nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// dialReason says in a stable word why no connection, or no answer over it, came about.
func dialReason(err error) snapshot.FailureReason {
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "connection refused"), strings.Contains(err.Error(), "actively refused"):
		return snapshot.ConnectionRefused
	case errors.Is(err, context.DeadlineExceeded), isNet && timeout.Timeout(),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return snapshot.NoAnswer
	default:
		return snapshot.OtherFailure
	}
}

// dialWords are a connection's error without the addresses, which the report names anyway.
func dialWords(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return oneLine(op.Err.Error())
	}
	return oneLine(err.Error())
}

func hostPort(u *url.URL) string { return net.JoinHostPort(u.Hostname(), port(u)) }

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	default:
		return "443"
	}
}

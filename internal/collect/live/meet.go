package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/maek-dev/maek/internal/snapshot"
)

// meet looks at the API server itself: does it answer, which version is it, what does it say of its
// own readiness. Where it does not answer, it is looked into from the outside in.
func (c *Client) meet(ctx context.Context) snapshot.API {
	api := snapshot.API{Asked: true, Server: hostPort(c.server)}
	if c.greet(ctx, &api); api.Failure == nil {
		api.Checks, api.ChecksError = c.readiness(ctx)
	}
	return api
}

// greet asks for the API server's version, the cheapest thing that it tells everybody, and finds out
// why where it does not tell.
func (c *Client) greet(ctx context.Context, api *snapshot.API) {
	var info version.Info
	body, status, err := c.get(ctx, "/version")
	switch {
	case status == http.StatusForbidden:
		// Known to the server, and not let in here: the lists say for themselves what is allowed.
	case err != nil:
		c.lookInto(ctx, api, status, err)
	case json.Unmarshal(body, &info) != nil || info.GitVersion == "":
		api.Failure = &snapshot.APIFailure{
			Layer: snapshot.LayerRequest, Reason: snapshot.OtherFailure, Status: status,
			Message: "it answers, but not as a Kubernetes API server does: " + oneLine(string(body)),
		}
	default:
		api.Version = info.GitVersion
	}
}

// readiness reads /readyz?verbose; the second result says why it could not be read.
func (c *Client) readiness(ctx context.Context) ([]snapshot.HealthCheck, string) {
	body, _, err := c.get(ctx, "/readyz", "verbose", "true")
	// A server that is not ready answers 500, with the same lines.
	if checks := parseReadyz(string(body)); len(checks) > 0 {
		return checks, ""
	}
	switch {
	case err == nil:
		return nil, "/readyz answers without its checks"
	case errors.Is(err, context.DeadlineExceeded):
		return nil, "/readyz: no answer within " + c.options.RequestTimeout.String()
	default:
		return nil, "/readyz: " + words(err)
	}
}

// maxPlainBytes bounds the body of an answer to get: /readyz has some sixty lines.
const maxPlainBytes = 1 << 20

// get asks for a path that is no resource. The body is there also where the status is an error, which
// is why this does not go through client-go's own request: it drops what is no Status.
func (c *Client) get(ctx context.Context, path string, params ...string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	address := c.rest.Get().AbsPath(path)
	for i := 0; i+1 < len(params); i += 2 {
		address.Param(params[i], params[i+1])
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.URL().String(), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("asking for %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxPlainBytes))
	if err != nil {
		return body, 0, fmt.Errorf("reading the answer to %s: %w", path, err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return body, resp.StatusCode, nil
	}
	var said metav1.Status
	if json.Unmarshal(body, &said) == nil && said.Kind == "Status" && said.Message != "" {
		return body, resp.StatusCode, &apierrors.StatusError{ErrStatus: said}
	}
	return body, resp.StatusCode, apierrors.NewGenericServerResponse(
		resp.StatusCode, http.MethodGet, schema.GroupResource{}, "", strings.TrimSpace(string(body)), 0, true)
}

// parseReadyz reads the lines of /readyz?verbose:
//
//	[+]ping ok
//	[-]etcd failed: reason withheld
//	readyz check failed
//
// (k8s.io/apiserver/pkg/server/healthz, handleRootHealth).
func parseReadyz(body string) []snapshot.HealthCheck {
	var checks []snapshot.HealthCheck
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		rest, ok := strings.CutPrefix(line, "[+]")
		if !ok {
			var failed bool
			if rest, failed = strings.CutPrefix(line, "[-]"); !failed {
				continue
			}
		}
		name, message, _ := strings.Cut(rest, " ")
		if name == "" {
			continue
		}
		check := snapshot.HealthCheck{Name: oneLine(name), OK: ok}
		if !check.OK {
			check.Message = oneLine(message)
		}
		checks = append(checks, check)
	}
	return checks
}

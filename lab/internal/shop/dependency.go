package shop

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// dependency is the next tier, as seen from the one that calls it.
type dependency struct {
	name     string
	base     string
	password string
	client   *http.Client
	log      *slog.Logger

	mu   sync.Mutex
	down bool
}

// newDependency reads the URL of the next tier from a variable.
func newDependency(env Environment, name, variable string, logger *slog.Logger) (*dependency, error) {
	base, err := env.required(variable)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(base)
	if err != nil || parsed.Scheme != "http" || parsed.Host == "" {
		return nil, fmt.Errorf("%w: %s is %q, which is no URL like http://%s:8080", ErrConfig, variable, base, name)
	}
	return &dependency{
		name: name,
		base: strings.TrimSuffix(base, "/"),
		log:  logger,
		client: &http.Client{
			Timeout: requestTimeout,
			// A new connection for each request: a Service picks an endpoint when a
			// connection is made, and the one picked before may be gone.
			Transport: &http.Transport{DisableKeepAlives: true},
		},
	}, nil
}

// call makes one request and returns the body of a 2xx answer.
func (d *dependency) call(ctx context.Context, method, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, d.base+path, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", d.name, err)
	}
	if d.password != "" {
		request.SetBasicAuth("shop", d.password)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", d.name, err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", d.name, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, fmt.Errorf("calling %s: %s: %s", d.name, response.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}

// note logs when the dependency starts or stops working.
func (d *dependency) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	down := err != nil
	if down == d.down {
		return
	}
	d.down = down
	if down {
		d.log.Error(d.name+" does not answer", "url", d.base, "err", err)
	} else {
		d.log.Info(d.name+" answers again", "url", d.base)
	}
}

// heartbeat calls use every few seconds until ctx is done, so that a broken
// dependency shows in the log without a visitor.
func (d *dependency) heartbeat(ctx context.Context, use func(context.Context) error) {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := use(ctx); ctx.Err() == nil {
				d.note(err)
			}
		}
	}
}

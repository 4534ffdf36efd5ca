package checker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/synthetic"
)

const (
	// pathV3 is the path of reports in Kuberhealthy's version 3; any other is of version 2.
	pathV3 = "/check"
	// tryTime bounds one try: whoever stores reports answers within 20s, or has to be asked again. Near the
	// end of the run a try has less, but leastTry.
	tryTime, leastTry = 25 * time.Second, time.Second
	// greetTime bounds one question whether anybody is there.
	greetTime = 5 * time.Second
	// The pauses between tries double from the first to the longest.
	firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second
	// waitTime is how long the endpoint is waited for before the check begins, as Kuberhealthy's do.
	waitTime = time.Minute
	// mostAnswer is how much of an answer is read.
	mostAnswer = 4 << 10
)

// reporter sends the result of a run to whoever started it. A nil one does nothing.
type reporter struct {
	endpoint *url.URL
	// broken says why there is no endpoint although one was named.
	broken error
	runID  string
	client *http.Client
	clock  clock.WithTicker
	log    *slog.Logger
}

// newReporter returns nil where nobody waits for a report.
func (o Options) newReporter(env synthetic.Environment) *reporter {
	address := strings.TrimSpace(o.Getenv(envReportingURL))
	if address == "" {
		return nil
	}
	r := &reporter{runID: strings.TrimSpace(o.Getenv(envRunID)), clock: o.Clock, log: o.Log}
	endpoint, err := url.Parse(address)
	switch {
	case err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https":
		r.broken = fmt.Errorf("the environment variable %s is %q: write an address such as http://kuberhealthy.kuberhealthy.svc.cluster.local/check", envReportingURL, address)
		return r
	case r.runID == "":
		r.broken = fmt.Errorf("the environment variable %s is not set: whoever starts a check has to name the run there", envRunID)
		return r
	}
	r.endpoint = endpoint
	dial := o.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	r.client = &http.Client{
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DisableKeepAlives: true,
			DialContext:       withoutDNS(dial, endpoint, o.Getenv, env.Namespace),
		},
		// A report that is followed elsewhere would arrive without its body.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return r
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// withoutDNS dials the Service by the address that the kubelet put into the environment where its name
// cannot be resolved: otherwise a check could not report that names cannot be resolved. Only Services
// of the pod's own namespace are there.
func withoutDNS(dial dialer, endpoint *url.URL, getenv func(string) string, namespace string) dialer {
	service, domain, _ := strings.Cut(endpoint.Hostname(), ".")
	in, _, _ := strings.Cut(domain, ".")
	// The names of the variables: k8s.io/kubernetes/pkg/kubelet/envvars, FromServices.
	variable := strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_SERVICE_HOST"
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		connection, err := dial(ctx, network, address)
		_, unresolved := errors.AsType[*net.DNSError](err)
		host, port, split := net.SplitHostPort(address)
		known := getenv(variable)
		if !unresolved || split != nil || host != endpoint.Hostname() || in != namespace || net.ParseIP(known) == nil {
			return connection, err
		}
		return dial(ctx, network, net.JoinHostPort(known, port))
	}
}

// host names the endpoint in sentences.
func (r *reporter) host() string { return r.endpoint.Host }

// wait asks whether the endpoint answers, so that a pod whose network is not there yet waits for it. The
// check goes on in any case; the error says that it began without.
func (r *reporter) wait(ctx context.Context) error {
	if r == nil || r.endpoint == nil {
		return nil
	}
	until := r.clock.Now().Add(waitTime)
	if deadline, ok := ctx.Deadline(); ok {
		// At least half of the time is the check's.
		if half := r.clock.Now().Add(deadline.Sub(r.clock.Now()) / 2); half.Before(until) {
			until = half
		}
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := r.greet(ctx)
		if err == nil || ctx.Err() != nil || r.clock.Now().Add(pause).After(until) || !r.sleep(ctx, pause) {
			return err
		}
	}
}

// greet asks for the endpoint. Any answer will do: somebody is there.
func (r *reporter) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.endpoint.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	_, _, err = r.do(request)
	return err
}

// send reports an outcome, and tries again until a time while nobody takes it. A report that is refused
// is not tried again, and is no success: 400 above all, which says that the run is over or unknown.
func (r *reporter) send(ctx context.Context, outcome synthetic.Outcome, until time.Time) error {
	if r.broken != nil {
		return r.broken
	}
	body, err := json.Marshal(r.form(outcome))
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	lost := false
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		try, cancel := context.WithTimeout(ctx, max(leastTry, min(tryTime, until.Sub(r.clock.Now()))))
		status, text, err := r.post(try, body)
		cancel()
		switch {
		case err != nil:
			lost = lost || !neverSent(err)
		case status >= 200 && status < 300:
			return nil
		case !again(status):
			refusal := fmt.Sprintf("the report was refused with %d %s: %s", status, http.StatusText(status), cmp.Or(text, "no reason was given"))
			if lost {
				refusal += "; an earlier try may have been taken, and only its answer been lost"
			}
			return errors.New(refusal)
		default:
			err = fmt.Errorf("the report was answered with %d %s: %s", status, http.StatusText(status), text)
		}
		if r.clock.Now().Add(pause).After(until) || !r.sleep(ctx, pause) {
			return fmt.Errorf("reporting to %s, tried again until %s: %w", r.host(), until.UTC().Format(time.RFC3339), err)
		}
		r.log.Info("the report is tried again", "error", err)
	}
}

// form is the report with the keys that the version's own client writes.
func (r *reporter) form(outcome synthetic.Outcome) any {
	errs := make([]string, len(outcome.Errors))
	for i, text := range outcome.Errors {
		errs[i] = strings.ToValidUTF8(text, "?")
	}
	if r.endpoint.Path == pathV3 {
		return struct {
			OK     bool     `json:"ok"`
			Errors []string `json:"errors,omitempty"`
		}{outcome.OK, errs}
	}
	return struct {
		Errors []string
		OK     bool
	}{errs, outcome.OK}
}

func (r *reporter) post(ctx context.Context, body []byte) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("making the report: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(kuberhealthy.HeaderRunID, r.runID)
	return r.do(request)
}

// do sends a request and reads what is of interest of the answer.
func (r *reporter) do(request *http.Request) (status int, text string, err error) {
	response, err := r.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return 0, "", err
	}
	defer response.Body.Close()
	// The status says it; what cannot be read of the rest changes nothing.
	answer, _ := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	return response.StatusCode, strings.TrimSpace(string(answer)), nil
}

// again tells whether a later try may be answered otherwise.
func again(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// neverSent tells whether a request failed before anybody could have got it.
func neverSent(err error) bool {
	failed, is := errors.AsType[*net.OpError](err)
	_, unresolved := errors.AsType[*net.DNSError](err)
	return unresolved || is && failed.Op == "dial"
}

func (r *reporter) sleep(ctx context.Context, pause time.Duration) bool {
	timer := r.clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

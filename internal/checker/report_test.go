package checker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/synthetic"
)

// received is a report that an operator got.
type received struct {
	report kuberhealthy.Report
	runID  string
	body   string
}

// operator reads reports as Maek's endpoints do, and answers what it is told to, the last for ever.
type operator struct {
	api     kuberhealthy.API
	answers []int
	mu      sync.Mutex
	posts   []received
	greeted int
}

func (o *operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	report, err := kuberhealthy.ReadReport(o.api, r.Method, r.Header, bytes.NewReader(body))
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(err, kuberhealthy.ErrNoReport) {
		o.greeted++
		return
	}
	if refusal, refused := errors.AsType[*kuberhealthy.Refusal](err); refused {
		w.WriteHeader(refusal.Status)
		return
	}
	answer := http.StatusOK
	if len(o.answers) > 0 {
		answer = o.answers[min(len(o.posts), len(o.answers)-1)]
	}
	o.posts = append(o.posts, received{report: report, runID: r.Header.Get(kuberhealthy.HeaderRunID), body: string(body)})
	if answer == 0 {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	w.WriteHeader(answer)
}

func (o *operator) got() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.posts
}

func TestReportArrivesWhereNamesCannotBeResolved(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	nameless := func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host) == nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "server misbehaving", Name: host}}
		}
		return dialer.DialContext(ctx, network, address)
	}
	const host = "kuberhealthy.checks.svc.cluster.local"
	environment := map[string]string{"KUBERHEALTHY_SERVICE_HOST": "127.0.0.1"}
	tests := map[string]struct {
		host, namespace string
		environment     map[string]string
		want            bool
	}{
		"in the namespace of the Service":                           {host, "checks", environment, true},
		"in another namespace, whose Services have other addresses": {host, "default", environment, false},
		"where nobody put the address":                              {host, "checks", nil, false},
		"where the address is none":                                 {host, "checks", map[string]string{"KUBERHEALTHY_SERVICE_HOST": "kuberhealthy"}, false},
		"where another host is dialled, as a proxy":                 {"proxy.example", "checks", environment, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			endpoint := &url.URL{Scheme: "http", Host: host + ":" + port}
			dial := withoutDNS(nameless, endpoint, func(name string) string { return tc.environment[name] }, tc.namespace)
			connection, err := dial(t.Context(), "tcp", net.JoinHostPort(tc.host, port))
			if (err == nil) != tc.want {
				t.Fatalf("dialling ended with %v", err)
			}
			if err == nil {
				connection.Close()
			}
		})
	}
}

func TestCheckerThatReachesNobodySaysThatItMayBeAtFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"KH_REPORTING_URL": endpoint + "/check", "KH_RUN_UUID": runUUID, "KH_CHECK_RUN_DEADLINE": in(6 * time.Second)}, catalog(ill))
		w.options.dial = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		if code := Run(t.Context(), w.options); code != ExitFailed {
			t.Errorf("ended with %d, want %d", code, ExitFailed)
		}
		if got := strings.Join(w.outcome(t).Errors, "\n"); !strings.Contains(got, "the checker pod itself may be at fault: before the check began it could not reach "+strings.TrimPrefix(endpoint, "http://")) {
			t.Errorf("it says\n%s", got)
		}
	})
}

func TestReportsAreAsLargeAsOperatorsTake(t *testing.T) {
	o := &operator{api: kuberhealthy.V3}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	w := newWorld(t, map[string]string{"KH_REPORTING_URL": server.URL + "/check", "KH_RUN_UUID": runUUID}, catalog(
		func(context.Context, synthetic.Environment) (synthetic.Result, error) {
			var r synthetic.Result
			for range 5000 {
				r.Errors = append(r.Errors, "a pod is not well, \"as they say\"\n\xff")
			}
			return r, nil
		}))
	if code := Run(t.Context(), w.options); code != ExitOK {
		t.Fatalf("ended with %d\n%s", code, w.log)
	}
	posts := o.got()
	if len(posts) != 1 || len(posts[0].report.Errors) != kuberhealthy.MaxErrors {
		t.Fatalf("%d reports", len(posts))
	}
	if last := posts[0].report.Errors[kuberhealthy.MaxErrors-1]; last != "and 4937 more" {
		t.Errorf("the last error is %q", last)
	}
	if !json.Valid([]byte(posts[0].body)) {
		t.Error("the report is no JSON")
	}
}

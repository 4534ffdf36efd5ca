package reach_test

import (
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/monitors/reach"
)

// shut is where nobody listens: no system gives out ports so low, so that nobody takes it meanwhile.
const shut = "127.0.0.1:1"

func TestGetTellsHowAnAddressAnswers(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("  not now\n" + strings.Repeat("x", 1<<20)))
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	cut, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cut.Close() }()
	go func() {
		for {
			conn, err := cut.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	tests := map[string]struct {
		url    string
		want   reach.Outcome
		status int
	}{
		"an error is an answer":                 {plain.URL, reach.Answered, http.StatusServiceUnavailable},
		"nothing listens":                       {"http://" + shut, reach.Refused, 0},
		"a certificate that nobody vouches for": {secure.URL, reach.TLS, 0},
		"plain HTTP where TLS is expected":      {"https" + strings.TrimPrefix(plain.URL, "http"), reach.TLS, 0},
		"a connection that ends without a word": {"http://" + cut.Addr().String(), reach.Failed, 0},
		"an address that is none":               {"http://127.0.0.1:99999", reach.Failed, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := reach.Get(t.Context(), tc.url, &tls.Config{MinVersion: tls.VersionTLS12})
			if got.Outcome != tc.want || got.Status != tc.status || got.Outcome != reach.Answered && got.Error == "" {
				t.Errorf("Get(%s) = %s %d %q, want %s %d", tc.url, got.Outcome, got.Status, got.Error, tc.want, tc.status)
			}
			if len(got.Body) > 16<<10 {
				t.Errorf("it kept %d bytes", len(got.Body))
			}
		})
	}
}

func TestConnect(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.Listener.Addr().String()
	if got := reach.Connect(t.Context(), address); got.Outcome != reach.Answered {
		t.Errorf("an open port: %v", got)
	}
	server.Close()
	if got := reach.Connect(t.Context(), shut); got.Outcome != reach.Refused {
		t.Errorf("a shut port: %v", got)
	}
}

func TestConnectTLSLeavesNothingInTheLog(t *testing.T) {
	var noted strings.Builder
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(&noted, "", 0)
	ended := make(chan struct{}, 1)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			ended <- struct{}{}
		}
	}
	server.StartTLS()
	address := server.Listener.Addr().String()
	if got := reach.ConnectTLS(t.Context(), address); got.Outcome != reach.Answered {
		t.Errorf("%+v", got)
	}
	<-ended
	server.Close()
	if noted.Len() > 0 {
		t.Errorf("the server notes %q", noted.String())
	}
	if got := reach.ConnectTLS(t.Context(), shut); got.Outcome != reach.Refused {
		t.Errorf("%+v", got)
	}
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := silent.Accept(); err == nil {
			_ = conn.Close()
		}
	}()
	if got := reach.ConnectTLS(t.Context(), silent.Addr().String()); got.Outcome != reach.Answered {
		t.Errorf("a port that takes connections: %+v", got)
	}
	_ = silent.Close()
}

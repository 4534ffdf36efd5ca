package synthetic

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// closed is where nothing listens: tcpmux, which hardly anybody ever ran, on a port that is given to no socket
// that asks for any. A port that was closed just now may be somebody's again.
const closed = "127.0.0.1:1"

func TestHTTP(t *testing.T) {
	var requests atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { requests.Add(1); fmt.Fprint(w, "ok") })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("POST /create", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 100)
		if n, _ := r.Body.Read(body); string(body[:n]) != `{"a":1}` {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusMovedPermanently))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "only this")
	})
	mux.HandleFunc("/every-second", func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	nameless := httptest.NewTLSServer(mux)
	t.Cleanup(nameless.Close)

	tests := map[string]struct {
		options  map[string]string
		want     expectation
		requests int64
	}{
		"a count that is not set means one request": {options: map[string]string{"CHECK_URL": server.URL + "/ok"}, requests: 1},
		"a count of zero means one too":             {options: map[string]string{"CHECK_URL": server.URL + "/ok", "COUNT": "0"}, requests: 1},
		"as many requests as asked for":             {options: map[string]string{"CHECK_URL": server.URL + "/ok", "COUNT": "5"}, requests: 5},
		"another status": {
			options: map[string]string{"CHECK_URL": server.URL + "/broken"},
			want: expectation{errors: []string{"unable to retrieve a valid response (expected status: 200) from GET " + server.URL +
				"/broken checks failed 1 out of 1 attempts: the server answered 503 Service Unavailable"}},
		},
		"a body is sent, and 201 expected": {options: map[string]string{"CHECK_URL": server.URL + "/create", "REQUEST_TYPE": "post", "REQUEST_BODY": `{"a":1}`, "EXPECTED_STATUS_CODE": "201"}},
		"a redirect is followed":           {options: map[string]string{"CHECK_URL": server.URL + "/moved"}, requests: 1},
		"a redirect is what is expected":   {options: map[string]string{"CHECK_URL": server.URL + "/moved", "EXPECTED_STATUS_CODE": "301"}},
		"a redirect without end":           {options: map[string]string{"CHECK_URL": server.URL + "/loop"}, want: expectation{errors: []string{"stopped after 10 redirects"}}},
		"a body that breaks off":           {options: map[string]string{"CHECK_URL": server.URL + "/half"}, want: expectation{errors: []string{"its body could not be read: unexpected EOF"}}},
		"nothing listens":                  {options: map[string]string{"CHECK_URL": "http://" + closed}, want: expectation{errors: []string{"connection refused"}}},
		"a certificate that nobody trusts": {options: map[string]string{"CHECK_URL": nameless.URL}, want: expectation{errors: []string{"certificate"}}},
		"half of four is enough at 50 percent": {
			options: map[string]string{"CHECK_URL": server.URL + "/every-second", "COUNT": "4", "PASSING_PERCENT": "50"}, requests: 4,
			want: expectation{notes: []string{"2 of 4 requests"}},
		},
		"half of four is not enough at 51 percent": {
			options: map[string]string{"CHECK_URL": server.URL + "/every-second", "COUNT": "4", "PASSING_PERCENT": "51"}, requests: 4,
			want: expectation{errors: []string{"checks failed 2 out of 4 attempts"}},
		},
		"half of one is one": {
			options: map[string]string{"CHECK_URL": server.URL + "/broken", "PASSING_PERCENT": "50"},
			want:    expectation{errors: []string{"checks failed 1 out of 1"}},
		},
		"a password in the address is not shown": {
			options: map[string]string{"CHECK_URL": strings.Replace(server.URL, "http://", "http://me:hunter2@", 1) + "/broken"},
			want:    expectation{errors: []string{"GET http://me:"}},
		},
		"no address":                {want: expectation{refused: []string{"CHECK_URL is not set: write an address such as https://"}}},
		"an address without scheme": {options: map[string]string{"CHECK_URL": "example.com"}, want: expectation{refused: []string{`CHECK_URL is "example.com"`}}},
		"an address without host":   {options: map[string]string{"CHECK_URL": "https:///x"}, want: expectation{refused: []string{"CHECK_URL"}}},
		"a method that is none":     {options: map[string]string{"CHECK_URL": server.URL, "REQUEST_TYPE": "FETCH"}, want: expectation{refused: []string{`REQUEST_TYPE is "FETCH"`}}},
		"a share above all":         {options: map[string]string{"CHECK_URL": server.URL, "PASSING_PERCENT": "101"}, want: expectation{refused: []string{`PASSING_PERCENT is "101"`}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			got, err := runHTTP(t.Context(), settings(t, tc.options))
			tc.want.compare(t, got, err)
			if strings.Contains(fmt.Sprint(got), "hunter2") {
				t.Errorf("the password is shown: %v", got)
			}
			if tc.requests > 0 && requests.Load() != tc.requests {
				t.Errorf("%d requests, want %d", requests.Load(), tc.requests)
			}
		})
	}
}

func TestHTTPSaysThatTheTimeWasTooShort(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	e := settings(t, map[string]string{"CHECK_URL": server.URL, "COUNT": "100", "SECONDS": "3600", "EXPECTED_STATUS_CODE": "404"})
	// The run's time is over while it waits for its second request.
	clk := clocktesting.NewFakeClock(time.Unix(0, 0))
	e.Clock = clk
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !clk.HasWaiters() {
			runtime.Gosched()
		}
		cancel()
	}()
	got, err := runHTTP(ctx, e)
	expectation{errors: []string{"the time of the run was over after 1 of 100 requests: make COUNT or SECONDS smaller"}}.compare(t, got, err)
}

func TestHTTPContent(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "all is well here") })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "all is well here")
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		// The text lies across the end of what is read at once, wherever that is.
		fmt.Fprint(w, strings.Repeat("x", 5<<20), "needle", strings.Repeat("y", 1<<20))
	})
	mux.HandleFunc("/hangs", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "beginning")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tests := map[string]struct {
		options map[string]string
		want    expectation
	}{
		"the text is there":               {options: map[string]string{"TARGET_URL": server.URL + "/page", "TARGET_STRING": "is well"}},
		"the text is not there":           {options: map[string]string{"TARGET_URL": server.URL + "/page", "TARGET_STRING": "is ill"}, want: expectation{errors: []string{`could not find string in content: "is ill" is not in the 16 bytes`}}},
		"space belongs to the text":       {options: map[string]string{"TARGET_URL": server.URL + "/page", "TARGET_STRING": " here "}, want: expectation{errors: []string{"could not find string"}}},
		"a text in a long page":           {options: map[string]string{"TARGET_URL": server.URL + "/long", "TARGET_STRING": "xneedley"}},
		"a text that a long page has not": {options: map[string]string{"TARGET_URL": server.URL + "/long", "TARGET_STRING": "xneedlex"}, want: expectation{errors: []string{"could not find string"}}},
		"an error page with the text":     {options: map[string]string{"TARGET_URL": server.URL + "/error", "TARGET_STRING": "is well"}, want: expectation{notes: []string{"status 500"}}},
		"a page that hangs":               {options: map[string]string{"TARGET_URL": server.URL + "/hangs", "TARGET_STRING": "is well", "TIMEOUT_DURATION": "3s"}, want: expectation{errors: []string{"failed after 9 bytes"}}},
		"a timeout that is none":          {options: map[string]string{"TARGET_URL": server.URL, "TARGET_STRING": "x", "TIMEOUT_DURATION": "30"}, want: expectation{refused: []string{`TIMEOUT_DURATION is "30"`}}},
		"nothing is set":                  {want: expectation{refused: []string{"TARGET_URL is not set", "TARGET_STRING is not set"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := runHTTPContent(t.Context(), settings(t, tc.options))
			tc.want.compare(t, got, err)
		})
	}
}

func TestNetworkConnection(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	open := listener.Addr().String()
	echo, silent := udpServer(t, true), udpServer(t, false)
	tests := map[string]struct {
		options map[string]string
		want    expectation
	}{
		"a port that is open":             {options: map[string]string{"CONNECTION_TARGET": "tcp://" + open}},
		"tcp is meant without a protocol": {options: map[string]string{"CONNECTION_TARGET": open}},
		"a port that is closed":           {options: map[string]string{"CONNECTION_TARGET": "tcp://" + closed}, want: expectation{errors: []string{"Network connection check determined that tcp://" + closed + " is DOWN: dial tcp"}}},
		"an open port that must not be": {
			options: map[string]string{"CONNECTION_TARGET": "tcp://" + open, "CONNECTION_TARGET_UNREACHABLE": "true"},
			want:    expectation{errors: []string{"tcp://" + open + " is UP, and CONNECTION_TARGET_UNREACHABLE says"}},
		},
		"a closed port that is to be closed": {
			options: map[string]string{"CONNECTION_TARGET": "tcp://" + closed, "CONNECTION_TARGET_UNREACHABLE": "true"},
			want:    expectation{notes: []string{"cannot be reached, as it should be"}},
		},
		"udp that answers":            {options: map[string]string{"CONNECTION_TARGET": "udp://" + echo}},
		"udp where nothing listens":   {options: map[string]string{"CONNECTION_TARGET": "udp://" + closed}, want: expectation{errors: []string{"is DOWN: read udp"}}},
		"udp that is silent":          {options: map[string]string{"CONNECTION_TARGET": "udp://" + silent, "CONNECTION_TIMEOUT": "300ms"}, want: expectation{notes: []string{"over UDP no more can be said"}}},
		"udp that must not answer":    {options: map[string]string{"CONNECTION_TARGET": "udp://" + echo, "CONNECTION_TARGET_UNREACHABLE": "true"}, want: expectation{errors: []string{"is UP"}}},
		"udp that is to be silent":    {options: map[string]string{"CONNECTION_TARGET": "udp://" + silent, "CONNECTION_TARGET_UNREACHABLE": "true", "CONNECTION_TIMEOUT": "300ms"}, want: expectation{notes: []string{"does not prove"}}},
		"no target":                   {want: expectation{refused: []string{"CONNECTION_TARGET is not set"}}},
		"a target without a port":     {options: map[string]string{"CONNECTION_TARGET": "tcp://127.0.0.1"}, want: expectation{refused: []string{"CONNECTION_TARGET is"}}},
		"a protocol that is none":     {options: map[string]string{"CONNECTION_TARGET": "http://" + open}, want: expectation{refused: []string{"tcp://example.com:443"}}},
		"neither reachable nor not":   {options: map[string]string{"CONNECTION_TARGET": open, "CONNECTION_TARGET_UNREACHABLE": "maybe"}, want: expectation{refused: []string{`UNREACHABLE is "maybe"`}}},
		"a port that is out of range": {options: map[string]string{"CONNECTION_TARGET": "tcp://127.0.0.1:70000"}, want: expectation{refused: []string{"CONNECTION_TARGET is"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := runNetwork(t.Context(), settings(t, tc.options))
			tc.want.compare(t, got, err)
		})
	}
}

// udpServer listens on loopback, and sends back what it gets, or nothing.
func udpServer(t *testing.T, answers bool) string {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	go func() {
		buffer := make([]byte, 100)
		for {
			_, from, err := connection.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answers {
				connection.WriteTo([]byte("here"), from) //nolint:errcheck // then there is no answer, and the test fails
			}
		}
	}()
	return connection.LocalAddr().String()
}

func TestTheTestScenarioDoesAsItIsTold(t *testing.T) {
	tests := map[string]struct {
		options map[string]string
		want    expectation
	}{
		"it succeeds":             {options: map[string]string{"REPORT_DELAY": "1ms"}},
		"it fails":                {options: map[string]string{"REPORT_DELAY": "0s", "REPORT_FAILURE": "true"}, want: expectation{errors: []string{"Test has failed!"}}},
		"a delay without a unit":  {options: map[string]string{"REPORT_DELAY": "5"}, want: expectation{refused: []string{`REPORT_DELAY is "5"`}}},
		"neither failure nor not": {options: map[string]string{"REPORT_FAILURE": "no"}, want: expectation{refused: []string{`REPORT_FAILURE is "no"`}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := runTest(t.Context(), settings(t, tc.options))
			tc.want.compare(t, got, err)
		})
	}
}

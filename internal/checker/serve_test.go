package checker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

func TestServeLosesNoRequestWhenItIsToldToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, catalog(well))
		wire := bufconn.Listen(1 << 10)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		const drain = 5 * time.Second
		go func() { ended <- w.options.serveOn(ctx, wire, drain) }()

		// Each asks over its own connection, as clients of a Service do, for as long as the server listens.
		client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return wire.DialContext(ctx) },
		}}
		get := func(path string) (int, error) {
			response, err := client.Get(endpoint + path)
			if err != nil {
				return 0, err
			}
			response.Body.Close()
			return response.StatusCode, nil
		}
		if code, err := get(ReadyPath); err != nil || code != http.StatusOK {
			t.Fatalf("ready: %d, %v", code, err)
		}
		stop()
		synctest.Wait()
		if code, err := get(ReadyPath); err != nil || code != http.StatusServiceUnavailable {
			t.Fatalf("no more ready: %d, %v", code, err)
		}
		for range 20 {
			if code, err := get("/"); err != nil || code != http.StatusOK {
				t.Errorf("while it drains: %d, %v", code, err)
			}
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := get("/"); err == nil {
			t.Error("it listens for ever")
		}
	})
}

func TestServeTakesAnAddressOrAPort(t *testing.T) {
	for name, arguments := range map[string]func(int) []string{
		"a port":     func(port int) []string { return []string{"serve", "--drain=0s", fmt.Sprintf("--port=%d", port)} },
		"an address": func(port int) []string { return []string{"serve", "--drain=0s", fmt.Sprintf(":%d", port)} },
	} {
		t.Run(name, func(t *testing.T) {
			// Somebody else may take a port that was free: then it is done again with another.
			for served := false; !served; {
				served = servesAt(t, arguments)
			}
		})
	}
}

// servesAt lets it serve at a port that was free, and tells whether the port still was.
func servesAt(t *testing.T, arguments func(int) []string) bool {
	t.Helper()
	free, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	w := newWorld(t, nil, catalog(well))
	w.options.Args = append([]string{"/maek-checker"}, arguments(port)...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, w.options) }()
	for {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/any/path", port))
		if err == nil {
			response.Body.Close()
			break
		}
		select {
		case code := <-ended:
			if strings.Contains(w.log.String(), syscall.EADDRINUSE.Error()) {
				return false
			}
			t.Fatalf("it ended with %d: %s", code, w.log)
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if code := <-ended; code != ExitOK {
		t.Errorf("ended with %d: %s", code, w.log)
	}
	return true
}

func TestPauseEndsWhenItIsStopped(t *testing.T) {
	w := newWorld(t, nil, catalog(well))
	w.options.Args = []string{"/maek-checker", "pause"}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- Run(ctx, w.options) }()
	select {
	case code := <-ended:
		t.Fatalf("it ended with %d", code)
	case <-time.After(20 * time.Millisecond):
	}
	stop()
	if code := <-ended; code != ExitOK {
		t.Errorf("ended with %d", code)
	}
}

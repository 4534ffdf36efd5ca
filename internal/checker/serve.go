package checker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

const (
	// ReadyPath answers 200 while the server is to get requests, and 503 from when it was told to end. All
	// other paths answer 200 as long as it runs.
	ReadyPath = "/readyz"
	// defaultPort as in Kuberhealthy's deployment check.
	defaultPort = 8080
	// drain is how long the server goes on after it was told to end: until then every proxy has heard that
	// its pod is none to send requests to. It is less than the 30s that a pod has by default.
	drain = 10 * time.Second
	// finish is how long requests have after that.
	finish = 10 * time.Second
)

// serve answers HTTP requests until ctx ends, and for a while after.
func (o Options) serve(ctx context.Context, arguments []string) int {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	port := flags.Uint16("port", defaultPort, "port to listen on")
	drained := flags.Duration("drain", drain, "how long to go on serving after the signal to end")
	if err := flags.Parse(arguments); err != nil {
		o.Log.Error("the arguments make no sense", "error", err)
		return ExitMisused
	}
	address := ":" + strconv.Itoa(int(*port))
	if rest := flags.Args(); len(rest) == 1 {
		address = rest[0]
	} else if len(rest) > 1 {
		o.Log.Error("serve takes one address", "arguments", rest)
		return ExitMisused
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		o.Log.Error("listening", "error", err)
		return ExitFailed
	}
	if err := o.serveOn(ctx, listener, *drained); err != nil {
		o.Log.Error("serving", "error", err)
		return ExitFailed
	}
	return ExitOK
}

// serveOn serves on a listener, so that a rolling update loses no request: when ctx ends it goes on
// serving, asks clients to close their connections, and stops when nobody sends any more.
func (o Options) serveOn(ctx context.Context, listener net.Listener, drain time.Duration) error {
	var ending atomic.Bool
	body := "maek-checker on " + o.Hostname + "\n"
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if ending.Load() {
			w.Header().Set("Connection", "close")
			if r.URL.Path == ReadyPath {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		if r.Method != http.MethodHead {
			// A client that went away needs no answer.
			_, _ = strings.NewReader(body).WriteTo(w)
		}
	})
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	o.Log.Info("serving", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	ending.Store(true)
	o.Log.Info("serving on for a while, until no proxy sends requests here", "for", drain)
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-o.Clock.After(drain):
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finish)
	defer cancel()
	if err := server.Shutdown(last); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("ending requests: %w", err)
	}
	return nil
}

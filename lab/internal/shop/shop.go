// Package shop is the application that runs in the lab: a front end, an API and a
// small database, as ordinary as an application can be. Faults are put in front
// of it, so it does what such programs do: it calls the next tier by its Service's
// name, logs one structured line when that starts or stops working, and says in
// its last line why it ends.
package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// ErrConfig is wrapped by the errors of [Run] that only a change of configuration
// can mend.
var ErrConfig = errors.New("bad configuration")

const (
	// heartbeatInterval is how often a tier uses the next one when nobody else does.
	heartbeatInterval = 5 * time.Second
	// requestTimeout bounds a request to the next tier.
	requestTimeout = 2 * time.Second
	// shutdownTimeout is how long requests may take to end; it is well within a
	// pod's default grace period of 30 s.
	shutdownTimeout = 5 * time.Second
	// readHeaderTimeout ends connections on which no request comes.
	readHeaderTimeout = 10 * time.Second
)

// Run runs one tier until ctx is done: "front", "api", "db", or the job "report".
func Run(ctx context.Context, tier string, env Environment, logger *slog.Logger) error {
	logger = logger.With("tier", tier, "version", env["SHOP_VERSION"])
	switch tier {
	case "front":
		return runFront(ctx, env, logger)
	case "api":
		return runAPI(ctx, env, logger)
	case "db":
		return runDB(ctx, env, logger)
	case "report":
		return runReport(ctx, env, logger)
	default:
		return fmt.Errorf("%w: there is no tier %q; there are front, api, db and report", ErrConfig, tier)
	}
}

// Environment are environment variables by name.
type Environment map[string]string

// required returns the value of a variable that has to be set.
func (e Environment) required(name string) (string, error) {
	if value := e[name]; value != "" {
		return value, nil
	}
	return "", fmt.Errorf("%w: the variable %s is not set", ErrConfig, name)
}

// withDefault returns the value of a variable, or fallback if it is not set.
func (e Environment) withDefault(name, fallback string) string {
	if value := e[name]; value != "" {
		return value
	}
	return fallback
}

// serve answers requests until ctx is done.
func serve(ctx context.Context, env Environment, logger *slog.Logger, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", env.withDefault("LISTEN", ":8080"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	logger.Info("serving", "address", listener.Addr().String())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		stopped <- server.Shutdown(stopping)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	if err := <-stopped; err != nil {
		return fmt.Errorf("ending requests: %w", err)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	logger.Info("stopped")
	return nil
}

// health adds the endpoints that probes use. The tier is alive while it answers.
// It is ready likewise, or, with READINESS=deep, while the next tier is ready too.
func health(mux *http.ServeMux, env Environment, next *dependency) error {
	readiness := env.withDefault("READINESS", "shallow")
	if readiness != "shallow" && readiness != "deep" {
		return fmt.Errorf("%w: READINESS is %q; it can be shallow or deep", ErrConfig, readiness)
	}
	ok := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // a client that is gone needs no answer
	}
	mux.HandleFunc("GET /healthz", ok)
	if readiness == "shallow" || next == nil {
		mux.HandleFunc("GET /readyz", ok)
		return nil
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := next.call(r.Context(), http.MethodGet, "/readyz", ""); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		ok(w, r)
	})
	return nil
}

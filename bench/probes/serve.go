package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// ports is how many a server has: connections to one alone would run out of numbers for the client's side
// at 470 a second, as each is kept for a minute after its end.
const ports = 50

// servers is where a server listens.
type servers struct {
	// HTTP are host:port of one server, HTTPS and GRPC each of another.
	HTTP        []string
	HTTPS, GRPC string
	// Certificate of the HTTPS server, in DER.
	Certificate []byte
}

// serve serves until its input ends. It says where.
func serve(ctx context.Context, in io.Reader, out io.Writer, o options) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.delay > 0 {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(o.delay):
			}
		}
		_, _ = io.WriteString(w, "ok")
	})
	var s servers
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	for range ports {
		listener, err := listen(ctx)
		if err != nil {
			return err
		}
		s.HTTP = append(s.HTTP, listener.Addr().String())
		go func() { _ = server.Serve(listener) }()
	}
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	s.HTTPS, s.Certificate = secure.Listener.Addr().String(), secure.Certificate().Raw
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	healthy := grpc.NewServer()
	defer healthy.Stop()
	grpc_health_v1.RegisterHealthServer(healthy, health.NewServer())
	go func() { _ = healthy.Serve(listener) }()
	s.GRPC = listener.Addr().String()
	if err := json.NewEncoder(out).Encode(s); err != nil {
		return fmt.Errorf("saying where the server is: %w", err)
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

func listen(ctx context.Context) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}

// hog keeps a core busy until its input ends.
func hog(in io.Reader) error {
	var ended atomic.Bool
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		read <- err
		ended.Store(true)
	}()
	for !ended.Load() { // that is all it does
	}
	return <-read
}

// profiled writes a profile of the processor time of what it runs, if that is wished for.
func profiled(o options, run func() error) error {
	if o.cpuProfile == "" {
		return run()
	}
	f, err := os.Create(o.cpuProfile)
	if err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("making a profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return run()
}

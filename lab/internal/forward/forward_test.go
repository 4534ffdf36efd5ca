package forward_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/lab/internal/forward"
)

func TestConnectionsArePassedOnInBothDirections(t *testing.T) {
	t.Parallel()
	target := listen(t, "127.0.0.1:0")
	serveEcho(target)
	address := start(t, target.Addr().String())

	client := dial(t, address)
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "ping" {
		t.Errorf("answer = %q, want %q", got, "ping")
	}
}

func TestARefusalOfTheTargetIsARefusalHereUntilItAcceptsAgain(t *testing.T) {
	t.Parallel()
	target := listen(t, "127.0.0.1:0")
	serveEcho(target)
	address := start(t, target.Addr().String())
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}

	// The first connection is how the refusal is noticed. It is reset, maybe while it is still being made, and never looks
	// like one that ended well.
	conn, err := net.Dial("tcp", address)
	if err == nil {
		_, err = io.ReadAll(conn)
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the first connection: error = %v, want %v", err, syscall.ECONNRESET)
	}
	waitFor(t, "refusing", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})

	serveEcho(listen(t, target.Addr().String()))
	waitFor(t, "accepting", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// start runs a forwarder to target until the test ends and returns where it listens.
func start(t *testing.T, target string) string {
	t.Helper()
	// A port that is free now: the forwarder must listen at the same one each time.
	reserved := listen(t, "127.0.0.1:0")
	address := reserved.Addr().String()
	if err := reserved.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	forwarder := &forward.Forwarder{
		Listen: address,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", target)
		},
		Log: slog.New(slog.DiscardHandler),
	}
	go func() {
		done <- forwarder.Run(ctx, func() error { close(ready); return nil })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("Run ended before it was ready: %v", err)
	}
	return address
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // closed twice is fine
	return listener
}

// serveEcho sends what each connection receives back to it until the listener is closed.
func serveEcho(listener net.Listener) {
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // closed twice is fine
	return conn.(*net.TCPConn)
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 10*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		t.Fatalf("the forwarder is not %s after a minute", what)
	}
}

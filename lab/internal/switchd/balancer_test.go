package switchd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// answering is a backend that says its name to every connection and holds it open.
type answering struct {
	address netip.AddrPort
	close   func()
}

func listenBackend(t *testing.T, address, name string) answering {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = listener.Close() }
	t.Cleanup(stop)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }() // the other side has ended
				if _, err := io.WriteString(conn, name+"\n"); err != nil {
					return
				}
				_, _ = io.Copy(conn, conn) // until the other side ends
			}()
		}
	}()
	return answering{address: netip.MustParseAddrPort(listener.Addr().String()), close: stop}
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // a listening socket has nothing to lose
	return netip.MustParseAddrPort(listener.Addr().String())
}

// startBalancer runs a balancer that checks its backends very often.
func startBalancer(t *testing.T, backends ...netip.AddrPort) netip.AddrPort {
	t.Helper()
	address := freeAddress(t)
	b := newBalancer(address, backends, slog.New(slog.DiscardHandler))
	b.interval = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return address
}

// ask connects and returns the name of the backend that answers.
func ask(t *testing.T, address netip.AddrPort) (net.Conn, string, error) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address.String())
	if err != nil {
		return nil, "", err
	}
	name := make([]byte, 2)
	if _, err := io.ReadFull(conn, name); err != nil {
		return nil, "", errors.Join(err, conn.Close())
	}
	return conn, string(name[:1]), nil
}

// askUntil asks until the outcome is the wanted one; the test's deadline bounds it.
func askUntil(t *testing.T, address netip.AddrPort, want func(name string, err error) bool) net.Conn {
	t.Helper()
	for t.Context().Err() == nil {
		conn, name, err := ask(t, address)
		if want(name, err) {
			if conn != nil {
				t.Cleanup(func() { _ = conn.Close() }) // a test may have closed it
			}
			return conn
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	t.Fatal("it never came to be")
	return nil
}

func answeredBy(wanted string) func(string, error) bool {
	return func(name string, err error) bool { return err == nil && name == wanted }
}

func refused(_ string, err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func TestConnectionsAreSpreadOverTheBackends(t *testing.T) {
	a, b := listenBackend(t, "127.0.0.1:0", "a"), listenBackend(t, "127.0.0.1:0", "b")
	address := startBalancer(t, a.address, b.address)
	askUntil(t, address, answeredBy("a"))
	askUntil(t, address, answeredBy("b"))
}

func TestABackendThatIsGoneIsNotUsed(t *testing.T) {
	a, b := listenBackend(t, "127.0.0.1:0", "a"), listenBackend(t, "127.0.0.1:0", "b")
	address := startBalancer(t, a.address, b.address)
	askUntil(t, address, answeredBy("a"))
	a.close()
	// Also before a check has noticed: the next backend is tried.
	for range 20 {
		conn, name, err := ask(t, address)
		if err != nil || name != "b" {
			t.Fatalf("answered by %q, err = %v, want b", name, err)
		}
		_ = conn.Close() // nothing was written
	}
}

func TestClientsAreRefusedWhileNoBackendAcceptsThem(t *testing.T) {
	a := listenBackend(t, "127.0.0.1:0", "a")
	address := startBalancer(t, a.address)
	askUntil(t, address, answeredBy("a"))
	a.close()
	askUntil(t, address, refused)
	listenBackend(t, a.address.String(), "c")
	askUntil(t, address, answeredBy("c"))
}

func TestConnectionsOfABackendThatIsGoneAreEnded(t *testing.T) {
	a := listenBackend(t, "127.0.0.1:0", "a")
	address := startBalancer(t, a.address)
	conn := askUntil(t, address, answeredBy("a"))
	// The backend accepts no more, but what it has accepted stays open there.
	a.close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want the end of the connection", n)
	}
}

func TestBothDirectionsAreCopiedUntilTheClientEnds(t *testing.T) {
	a := listenBackend(t, "127.0.0.1:0", "a")
	conn := askUntil(t, startBalancer(t, a.address), answeredBy("a"))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	echo, err := io.ReadAll(conn)
	if err != nil || string(echo) != "hello" {
		t.Errorf("got %q, err = %v, want hello back", echo, err)
	}
}

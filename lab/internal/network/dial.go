package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialIn connects to address, which holds an IP address and no name, from within a named network namespace. The
// connection is of use in any namespace.
func DialIn(ctx context.Context, namespace, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, so no other one ever runs in the namespace.
		runtime.LockOSThread()
		conn, err := dialOnThread(ctx, namespace, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func dialOnThread(ctx context.Context, namespace, address string) (net.Conn, error) {
	file, err := os.Open(NamespacePath(namespace))
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the network namespace %s: %w", namespace, err)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

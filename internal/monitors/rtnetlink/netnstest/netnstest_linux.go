// Package netnstest runs tests in network namespaces of their own.
package netnstest

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Enter runs a test in a network namespace of its own, which ends with the test. Without the right to
// make one the test is skipped, and says so.
func Enter(t testing.TB) netns.NsHandle {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces takes root: run this test as root")
	}
	runtime.LockOSThread() // Never unlocked: the thread ends with the test's goroutine, and the namespace with it.
	ns, err := netns.New()
	if errors.Is(err, unix.EPERM) {
		t.Skip("making network namespaces takes CAP_SYS_ADMIN: run this test with it")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

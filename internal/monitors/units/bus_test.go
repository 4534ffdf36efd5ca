package units

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/monitor"
)

// TestABusThatDoesNotAnswer listens at both sockets and says nothing.
func TestABusThatDoesNotAnswer(t *testing.T) {
	root := t.TempDir()
	for _, s := range sockets {
		path := filepath.Join(root, s.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	conn, err := open(monitor.Host{Root: root})
	if err == nil {
		_ = conn.Close()
		t.Fatal("a bus that says nothing was taken for one")
	}
	if want := "has not answered"; strings.Count(err.Error(), want) != len(sockets) {
		t.Errorf("%v; want %q of each socket", err, want)
	}
}

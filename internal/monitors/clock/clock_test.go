//go:build linux

package clock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
)

func TestObserve(t *testing.T) {
	root := t.TempDir()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	var timex unix.Timex
	var state int
	m := newWith(monitor.Host{Root: root, Now: func() time.Time { return now }}, func() (unix.Timex, int, error) { return timex, state, nil })
	steps := []struct {
		what      string
		timex     unix.Timex
		state     int
		container bool
		want      map[string]string
	}{
		{
			"kept to nanoseconds, a leap second to come",
			unix.Timex{Status: unix.STA_PLL | unix.STA_NANO, Offset: -1_500_000, Maxerror: 2500},
			unix.TIME_INS, false,
			map[string]string{"clock/synchronized": "true", "clock/offset-seconds": "-0.0015", "clock/max-error-seconds": "0.0025", "clock/leap": "insert", "clock/container": "false"},
		},
		{
			"no longer kept, of which the kernel says by its error too",
			unix.Timex{Status: unix.STA_UNSYNC, Offset: 20, Maxerror: 16_000_000},
			unix.TIME_ERROR, false,
			map[string]string{"clock/synchronized": "false since 20:00", "clock/offset-seconds": "0.00002", "clock/max-error-seconds": "16", "clock/leap": "none", "clock/container": "false"},
		},
		{
			"still not kept, in a container",
			unix.Timex{Status: unix.STA_UNSYNC, Maxerror: 16_000_000},
			unix.TIME_ERROR, true,
			map[string]string{"clock/synchronized": "false since 20:00", "clock/offset-seconds": "0", "clock/max-error-seconds": "16", "clock/leap": "none", "clock/container": "true"},
		},
	}
	for _, s := range steps {
		timex, state = s.timex, s.state
		if s.container {
			now = now.Add(time.Hour)
			if err := os.MkdirAll(filepath.Join(root, "run/systemd"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "run/systemd/container"), []byte("systemd-nspawn"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		evidence, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, e := range evidence {
			got[string(e.Key)] = e.Value
			if e.At != nil {
				got[string(e.Key)] += e.At.UTC().Format(" since 15:04")
			}
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
}

func TestObserveRefused(t *testing.T) {
	m := newWith(monitor.Host{Root: t.TempDir()}, func() (unix.Timex, int, error) { return unix.Timex{}, 0, unix.EPERM })
	if _, err := m.Observe(t.Context()); !errors.Is(err, unix.EPERM) {
		t.Errorf("got error %v, want %v", err, unix.EPERM)
	}
}

// TestKernel asks the real kernel, which anybody may.
func TestKernel(t *testing.T) {
	if _, err := New(monitor.Host{Root: t.TempDir()}).Observe(t.Context()); err != nil {
		t.Error(err)
	}
}

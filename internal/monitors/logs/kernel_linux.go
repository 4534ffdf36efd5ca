package logs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/monitors/logs/kmsg"
)

// kernelSource reads /dev/kmsg.
type kernelSource struct {
	reader *kmsg.Reader
	booted time.Time
	boot   string
	last   uint64 // the last record of this boot that was given
	since  time.Time
	first  time.Time
}

func openKernel(host monitor.Host, checkpoint string, since time.Time) (source, error) {
	path, err := host.Path("/dev/kmsg")
	if err != nil {
		return nil, err
	}
	var up unix.Timespec
	// The kernel stamps records by its own clock, which CLOCK_MONOTONIC follows.
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		return nil, fmt.Errorf("reading the time since boot: %w", err)
	}
	boot, err := host.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return nil, fmt.Errorf("reading the boot's name: %w", err)
	}
	r, err := kmsg.Open(path)
	if err != nil {
		return nil, err
	}
	s := &kernelSource{reader: r, booted: host.Now().Add(-time.Duration(up.Nano())), boot: strings.TrimSpace(string(boot)), since: since}
	if id, seq, ok := strings.Cut(checkpoint, " "); ok && id == s.boot {
		if n, err := strconv.ParseUint(seq, 10, 64); err == nil {
			s.last = n
		}
	}
	return s, nil
}

func (s *kernelSource) kept() (lost int64, oldest time.Time) { return s.reader.Lost(), s.first }
func (s *kernelSource) close()                               { s.reader.Close() }
func (s *kernelSource) checkpoint() string                   { return s.boot + " " + strconv.FormatUint(s.last, 10) }

func (s *kernelSource) read(ctx context.Context, limit int64, yield func(Line)) (bool, error) {
	for limit > 0 {
		if err := ctx.Err(); err != nil {
			return true, fmt.Errorf("reading the kernel's log: %w", err)
		}
		r, ok, err := s.reader.Next()
		if err != nil || !ok {
			return false, err
		}
		at := s.booted.Add(r.SinceBoot).UTC()
		if s.first.IsZero() {
			s.first = at
		}
		limit -= int64(len(r.Text)) + 32
		if s.last > 0 && r.Seq <= s.last || at.Before(s.since) {
			continue
		}
		s.last = r.Seq
		yield(Line{At: at, Source: "kernel", Writer: "kernel", Class: catalogue.Kernel, Severity: severityOfPriority(r.Priority), Text: r.Text, boot: s.boot})
	}
	return true, nil
}

//go:build linux

// Package clock watches whether something keeps the machine's clock, as the kernel knows it.
package clock

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// discipline asks the kernel how its clock is kept.
type discipline func() (unix.Timex, int, error)

func kernel() (unix.Timex, int, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return t, state, err
}

// New makes the monitor of a host's clock.
func New(host monitor.Host) monitor.Monitor { return newWith(host, kernel) }

func newWith(host monitor.Host, ask discipline) monitor.Monitor {
	w := &watch{host: host, ask: ask}
	return monitor.Monitor{
		Name: "clock", Doc: "Whether something keeps the machine's clock, by how much it was off, and leap seconds to come, from adjtimex(2).",
		Keys: []monitor.Key{
			{Pattern: "clock/synchronized", Doc: "Whether a time service keeps the clock; At is since when it does not, as far as that was seen."},
			{Pattern: "clock/offset-seconds", Doc: "By how many seconds the clock was off when it was last corrected; positive is behind."},
			{Pattern: "clock/max-error-seconds", Doc: "By how much it can be off at most, as the time service and its drift since tell; 16 when nobody keeps it."},
			{Pattern: "clock/leap", Doc: "Leap second to come: insert, delete or none."},
			{Pattern: "clock/container", Doc: "True where the machine is itself a container, whose clock its host keeps."},
		},
		Interval: time.Minute,
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return w.observe() },
	}
}

type watch struct {
	host  monitor.Host
	ask   discipline
	known bool
	// lost is since when nobody keeps the clock; zero while somebody does, and where that was so at the
	// first look.
	lost         time.Time
	synchronized bool
}

// The kernel gives offsets in microseconds, or with STA_NANO in nanoseconds; these are how many make a
// second.
const (
	microseconds = 1e6
	nanoseconds  = 1e9
)

func (w *watch) observe() ([]snapshot.MachineEvidence, error) {
	t, state, err := w.ask()
	if err != nil {
		return nil, fmt.Errorf("asking the kernel how its clock is kept: %w", err)
	}
	synchronized := t.Status&unix.STA_UNSYNC == 0
	switch {
	case synchronized:
		w.lost = time.Time{}
	case w.known && w.synchronized:
		w.lost = w.host.Now()
	}
	w.known, w.synchronized = true, synchronized
	unit := microseconds
	if t.Status&unix.STA_NANO != 0 {
		unit = nanoseconds
	}
	out := []snapshot.MachineEvidence{
		monitor.Since(monitor.Bool("clock/synchronized", synchronized), w.lost),
		monitor.Float("clock/offset-seconds", float64(t.Offset)/unit),
		monitor.Float("clock/max-error-seconds", float64(t.Maxerror)/microseconds),
		monitor.Value("clock/leap", leap(state)),
	}
	return append(out, monitor.Bool("clock/container", w.container())), nil
}

// leap names the second that the kernel is about to insert or leave out (adjtimex(2), return value).
func leap(state int) string {
	switch state {
	case unix.TIME_INS:
		return "insert"
	case unix.TIME_DEL:
		return "delete"
	default:
		return "none"
	}
}

// container tells whether systemd noted that the machine is a container
// (https://systemd.io/CONTAINER_INTERFACE/).
func (w *watch) container() bool {
	path, err := w.host.Path("/run/systemd/container")
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// Package pressure watches how long the machine's work waits for processors, memory and disks, as the
// kernel measures it (pressure stall information).
package pressure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// resources are the files of /proc/pressure (Documentation/accounting/psi.rst).
var resources = []string{"cpu", "io", "memory"}

// fileLimit is more than the two lines of such a file take.
const fileLimit = 1 << 10

// New makes the monitor of a host's pressure.
func New(host monitor.Host) monitor.Monitor {
	return monitor.Monitor{
		Name: "pressure", Doc: "How long work waits for cpu, io and memory, from /proc/pressure; nothing where the kernel does not measure it.",
		Keys: []monitor.Key{
			{Pattern: "pressure/*/some/*", Doc: "Percentage of the last 10, 60 or 300 seconds (avg10, avg60, avg300) in which at least one task waited for cpu, io or memory."},
			{Pattern: "pressure/*/full/*", Doc: "Percentage of the last 10, 60 or 300 seconds in which all tasks waited at once, so that nothing was done."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: 15 * time.Second,
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return observe(host) },
	}
}

func observe(host monitor.Host) ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	for _, resource := range resources {
		data, err := host.ReadFile("/proc/pressure/"+resource, fileLimit)
		// The kernel has no such file where it was built without, and says "not supported" where it was
		// booted with psi=0.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		if err != nil {
			gaps = append(gaps, fmt.Errorf("reading how long work waits for %s: %w", resource, err))
			continue
		}
		read, err := parse(resource, string(data))
		if err != nil {
			gaps = append(gaps, err)
		}
		out = append(out, read...)
	}
	return out, errors.Join(gaps...)
}

// parse reads lines such as "some avg10=0.19 avg60=0.05 avg300=0.28 total=368099970".
func parse(resource, text string) ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "some" && fields[0] != "full" {
			return nil, fmt.Errorf("reading how long work waits for %s: line %q is not of the kernel's form", resource, strings.TrimSpace(line))
		}
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			share, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return nil, fmt.Errorf("reading how long work waits for %s: %w", resource, err)
			}
			if name != "total" {
				out = append(out, monitor.Float(snapshot.KeyOf("pressure", resource, fields[0], name), share))
			}
		}
	}
	return out, nil
}

// Package units watches the systemd units that a node depends on, over D-Bus: the container runtime,
// the kubelet, the overlay, time, and whatever else has failed. A crash loop is never "failed" to
// systemd, so that starts are counted.
package units

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/journal"
)

// LastLines returns the last n lines that a unit and systemd wrote about it, oldest first; what could be
// read beside an error.
type LastLines func(ctx context.Context, unit string, n int) ([]string, error)

// FromJournal reads last lines from the host's journal. A machine that keeps none gives none.
func FromJournal(host monitor.Host) LastLines {
	j := journal.Of(host)
	return func(ctx context.Context, unit string, n int) ([]string, error) {
		lines, err := j.LastLines(ctx, unit, n, time.Time{})
		if errors.Is(err, journal.ErrNone) {
			err = nil // The monitor of logs tells of it.
		}
		out := make([]string, len(lines))
		for i, l := range lines {
			out[i] = l.Message
		}
		return out, err
	}
}

// names are the units that nodes stand on. Some are names of one and the same unit, of which systemd
// tells the real one. Those that a machine does not have give no evidence.
var names = []string{
	"kubelet.service", "containerd.service", "docker.service", "crio.service", "cri-docker.service",
	"k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service",
	"flanneld.service", "kube-proxy.service", "etcd.service",
	"kube-apiserver.service", "kube-scheduler.service", "kube-controller-manager.service",
	"chronyd.service", "chrony.service", "ntp.service", "ntpd.service", "ntpsec.service", "systemd-timesyncd.service",
	"iscsid.service", "multipathd.service", "rsyslog.service",
}

const (
	// refresh is how often all is read anew of a unit whose state has not changed: whether it is
	// enabled, and whether its file on disk is newer, change without a word.
	refresh = 5 * time.Minute
	// recently is the time over which restarts are counted.
	recently = 10 * time.Minute
	// linesRead is how many lines are looked through for why a unit ended.
	linesRead = 40
	// failedTold bounds how many failed units beside those above are told of.
	failedTold = 30
)

// New makes the monitor. Without lastLines it does not tell why a unit ended.
func New(host monitor.Host, lastLines LastLines) monitor.Monitor {
	connect := func() (manager, error) {
		m, err := connect(host)
		if err != nil && foreign(host) {
			err = errNoSystemd
		}
		return m, err
	}
	w := &watcher{now: host.Now, connect: connect, lastLines: lastLines, known: map[string]*unit{}}
	return monitor.Monitor{
		Name: "units", Doc: "systemd units that a node depends on, and failed ones, over D-Bus.",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.SystemBus},
		Observe:  w.observe,
		Watch: func(ctx context.Context, changed func()) error {
			err := watch(ctx, host, changed)
			if err != nil && foreign(host) {
				<-ctx.Done()
				return nil
			}
			return err
		},
	}
}

// errNoSystemd is of a machine that something else than systemd runs: it has no units (Talos).
var errNoSystemd = errors.New("systemd does not run here")

// foreign tells whether the machine's first process is known, and not systemd
// (https://www.freedesktop.org/software/systemd/man/latest/sd_booted.html).
func foreign(host monitor.Host) bool {
	if _, err := host.ReadDir("/run/systemd/system"); err == nil {
		return false
	}
	first, err := host.ReadFile("/proc/1/comm", 64)
	return err == nil && strings.TrimSpace(string(first)) != "systemd"
}

var keys = []monitor.Key{
	{Pattern: "unit/*/load-state", Doc: "loaded, masked, bad-setting or error. Units that are not there have no evidence."},
	{Pattern: "unit/*/active-state", Doc: "active, reloading, inactive, failed, activating or deactivating; at: since when its state is as it is."},
	{Pattern: "unit/*/sub-state", Doc: "systemd's finer state, such as running, dead or auto-restart; at: as active-state."},
	{Pattern: "unit/*/result", Doc: "How it last ended: success, exit-code, signal, core-dump, timeout, watchdog, start-limit-hit, oom-kill and so on."},
	{Pattern: "unit/*/restarts", Doc: "How often systemd has restarted it by itself since it was last started by hand."},
	{Pattern: "unit/*/restarts-10m", Doc: "How many of these fell into the last ten minutes, as far as this monitor has watched."},
	{Pattern: "unit/*/failing-since", Doc: "RFC 3339: since when it has ended soon after each start, as far as this monitor has watched."},
	{Pattern: "unit/*/exit-code", Doc: "exited, killed or dumped: how its main process last ended."},
	{Pattern: "unit/*/exit-status", Doc: "The exit status, or the number of the signal, of that end."},
	{Pattern: "unit/*/started", Doc: "RFC 3339: when its main process was last started."},
	{Pattern: "unit/*/main-pid", Doc: "Process id of its main process, in the host's numbering; absent where it does not run."},
	{Pattern: "unit/*/restart-policy", Doc: "The unit's Restart: no, on-failure, always and so on."},
	{Pattern: "unit/*/file-state", Doc: "enabled, disabled, static, masked, indirect, generated and so on: whether it starts at boot."},
	{Pattern: "unit/*/needs-reload", Doc: "true where its file on disk is newer than what systemd has loaded."},
	{Pattern: "unit/*/description", Doc: "Its description, for people."},
	{Pattern: "unit/*/last-error", Doc: "The line by which its program said why it ended, where it is in trouble."},
	{Pattern: "unit/*/last-line/*", Doc: "The last five lines of its journal, numbered from the oldest, 1, where it is in trouble."},
}

// errNoBus is told where systemd cannot be asked.
var errNoBus = errors.New("the state of units cannot be read: neither /run/dbus/system_bus_socket nor /run/systemd/private answers; " +
	"systemd does not run here, or its sockets are not mounted (it takes root and the host's /run)")

package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// interval between two looks: what must be seen within seconds is seen by other monitors.
	interval = 15 * time.Second
	timeout  = 20 * time.Second
	// readLimit bounds what is read of one log in one look, in bytes: a flood is read over several looks.
	readLimit = 16 << 20
	// saveEvery is how often cursors are written down while lines come.
	saveEvery = time.Minute
	// stored is the name under which the monitor keeps what it must remember.
	stored = "logs"
)

// memory is what outlives the process.
type memory struct {
	Checkpoints map[string]string     `json:"checkpoints"`
	Boot        string                `json:"boot,omitempty"`
	Standing    map[string]*happening `json:"standing,omitempty"`
}

type monitoring struct {
	host     monitor.Host
	options  Options
	sources  *sources
	standing *standing
	errors   *errorsSeen
	npd      *plugins
	saved    time.Time
}

// Options of the monitor.
type Options struct {
	// ProblemDetector is a folder on the host with node-problem-detector's configuration files, which
	// are read as they are; empty reads none.
	ProblemDetector string
	// RunPlugins lets the custom plugins that those files name be run, by the paths that they name, in
	// the file system of this process.
	RunPlugins bool
}

// New returns the monitor of a host's logs.
func New(host monitor.Host, options ...Options) monitor.Monitor {
	m := &monitoring{host: host}
	for _, o := range options {
		m.options = o
	}
	return monitor.Monitor{
		Name: "logs",
		Doc: "What the kernel, the systemd journal, the files in /var/log and the logs of the control plane's and the network's Pods tell, by a catalogue of what their lines mean. " +
			"The kernel's log is read from /dev/kmsg; where that is closed, from the journal, else from /var/log/kern.log, syslog or messages.",
		Keys: []monitor.Key{
			{Pattern: "log/*/count", Doc: "how many lines of a pattern of the catalogue came since First; the pattern stands now. At is when it began"},
			{Pattern: "log/*/line", Doc: "the newest such line, up to 400 bytes"},
			{Pattern: "log/*/source", Doc: "the log that it stands in: kernel, journal, a path, or namespace/pod/container and file"},
			{Pattern: "log/*/first", Doc: "when the first such line was written"},
			{Pattern: "log/*/last", Doc: "when the newest such line was written"},
			{Pattern: "log/*/subject", Doc: "what the lines name (a device, an interface, a task), newest first, at most 8, separated by commas"},
			{Pattern: "log/source/*/oldest", Doc: "when the oldest line was written that a log still has"},
			{Pattern: "log/source/*/lines-lost", Doc: "how often lines of a log were gone before they were read, since the start"},
			{Pattern: "log/source/*/errors-per-10m", Doc: "error lines of a log within 10 minutes"},
			{Pattern: "log/klog/*/*/count", Doc: "error lines that a place in a component's code wrote within 10 minutes; the three places that wrote most"},
			{Pattern: "log/klog/*/*/last", Doc: "when the newest of them was written"},
			{Pattern: "log/klog/*/*/line", Doc: "the newest of them, up to 400 bytes"},
			{Pattern: "log/npd/*/state", Doc: "a condition or reason of node-problem-detector's own configuration: problem, ok, or unknown. At is since when"},
			{Pattern: "log/npd/*/reason", Doc: "the reason that the configuration gives"},
			{Pattern: "log/npd/*/message", Doc: "the line or the plugin's output, up to 400 bytes"},
		},
		Requires: []monitor.Privilege{monitor.HostFiles, monitor.KernelLog},
		Interval: interval,
		Timeout:  timeout,
		Observe:  m.observe,
	}
}

func (m *monitoring) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	var errs []error
	if m.sources == nil {
		errs = append(errs, m.begin())
	}
	errs = append(errs, m.sources.refresh(ctx))
	now := m.host.Now()
	for _, name := range m.sources.names() {
		_, err := m.sources.open[name].read(ctx, readLimit, func(l Line) {
			m.standing.take(l)
			m.npd.take(l)
			m.errors.take(name, l, now)
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	m.standing.prune(now, readOnlyDevices(m.host))
	m.errors.prune(now)
	m.npd.run(ctx)
	errs = append(errs, m.npd.unread(m.sources.names()))
	if now.Sub(m.saved) >= saveEvery {
		errs = append(errs, m.save())
		m.saved = now
	}
	return m.evidence(), errors.Join(errs...)
}

// begin takes up where the last process left off.
func (m *monitoring) begin() error {
	kept := memory{}
	data, err := m.host.Load(stored)
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		err = fmt.Errorf("what was kept of the logs cannot be read, so that they are read anew: %w", err)
		kept = memory{}
	}
	if kept.Checkpoints == nil {
		kept.Checkpoints = map[string]string{}
	}
	m.sources = newSources(m.host, kept.Checkpoints)
	m.standing, m.errors = newStanding(catalogue.All()), newErrorsSeen()
	m.standing.boot = kept.Boot
	for name, h := range kept.Standing {
		if h != nil {
			m.standing.holds[name] = h
		}
	}
	var configured error
	m.npd, configured = newPlugins(m.host, m.options)
	m.sources.identifiers = m.npd.identifiers()
	return errors.Join(err, configured)
}

func (m *monitoring) save() error {
	data, err := json.Marshal(memory{Checkpoints: m.sources.where(), Boot: m.standing.boot, Standing: m.standing.holds})
	if err == nil {
		err = m.host.Save(stored, data)
	}
	if err != nil {
		return fmt.Errorf("keeping where the logs are read: %w", err)
	}
	return nil
}

func (m *monitoring) evidence() []snapshot.MachineEvidence {
	out := m.errors.evidence()
	for name, h := range m.standing.holds {
		if !h.Stands {
			continue
		}
		key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf("log", name, last) }
		out = append(out,
			monitor.Since(monitor.Int(key("count"), h.Count), h.First),
			monitor.Value(key("line"), h.Line), monitor.Value(key("source"), h.Source),
			monitor.Moment(key("first"), h.First), monitor.Moment(key("last"), h.Last),
		)
		if len(h.Subjects) > 0 {
			out = append(out, monitor.Value(key("subject"), strings.Join(h.Subjects, ",")))
		}
	}
	for name, src := range m.sources.open {
		key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf("log", "source", name, last) }
		lost, oldest := src.kept()
		out = append(out, monitor.Int(key("lines-lost"), lost), monitor.Int(key("errors-per-10m"), m.errors.of(name)))
		if !oldest.IsZero() {
			out = append(out, monitor.Moment(key("oldest"), oldest))
		}
	}
	return append(out, m.npd.evidence(m.host.Now())...)
}

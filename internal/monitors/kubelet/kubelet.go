// Package kubelet watches the machine's kubelet: whether it runs and answers, whether it can load its
// configuration, whether its certificate is good, and whether it gets through to the API server.
package kubelet

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/processes"
	"github.com/maek-dev/maek/internal/monitors/reach"
	"github.com/maek-dev/maek/internal/snapshot"
)

// New makes the monitor.
func New(host monitor.Host) monitor.Monitor {
	w := &watcher{host: host}
	return monitor.Monitor{
		Name: "kubelet", Doc: "the machine's kubelet: its health endpoint, configuration, client certificate, and its way to the API server.",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: 15 * time.Second, Timeout: 8 * time.Second,
		Observe: w.observe,
	}
}

var keys = []monitor.Key{
	{Pattern: "kubelet/process/pid", Doc: "Process id of the kubelet, in the host's numbering; absent where none runs."},
	{Pattern: "kubelet/process/state", Doc: "State of that process's first thread as the kernel has it: R running, S sleeping, D waiting for a device, T stopped, Z ended and not collected."},
	{Pattern: "kubelet/process/running", Doc: "true or false: whether a process named kubelet is there; at: since when, as far as this monitor has watched."},
	{Pattern: "kubelet/healthz/outcome", Doc: "How http://127.0.0.1:10248/healthz answers: " + reach.Words},
	{Pattern: "kubelet/healthz/status", Doc: "HTTP status of that answer; 200 is healthy."},
	{Pattern: "kubelet/healthz/body", Doc: "What that answer says, where it is not 200."},
	{Pattern: "kubelet/healthz/error", Doc: "Why there is no answer."},
	{Pattern: "kubelet/server/outcome", Doc: "Whether the port at which the API server calls the kubelet (10250) takes connections here: " + reach.Words},
	{Pattern: "kubelet/server/error", Doc: "Why it does not."},
	{Pattern: "kubelet/config/path", Doc: "The configuration file it is started with."},
	{Pattern: "kubelet/config/modified", Doc: "RFC 3339: when that file was last written."},
	{Pattern: "kubelet/config/error", Doc: "Why the kubelet cannot load that file."},
	{Pattern: "kubelet/config/error-line", Doc: "The line of the mistake, from 1."},
	{Pattern: "kubelet/config/error-text", Doc: "What stands on that line."},
	{Pattern: "kubelet/config/ignored", Doc: "What the kubelet passes over in that file: fields that are there twice."},
	{Pattern: "kubelet/setting/*", Doc: "A setting of that file, by its name there: cgroupDriver, clusterDNS, clusterDomain, containerRuntimeEndpoint, evictionHard, failCgroupV1, failSwapOn, healthzPort, maxPods, port, rotateCertificates, serverTLSBootstrap, staticPodPath. Absent where the file does not set it."},
	{Pattern: "kubelet/kubeconfig/path", Doc: "The kubeconfig it is started with."},
	{Pattern: "kubelet/kubeconfig/error", Doc: "Why that file cannot be used."},
	{Pattern: "kubelet/api-server/url", Doc: "The API server that the kubelet reports to."},
	{Pattern: "kubelet/api-server/outcome", Doc: "How that address answers from this machine, over TCP at each look and over HTTPS every few minutes and while it fails: " + reach.Words},
	{Pattern: "kubelet/api-server/error", Doc: "Why it does not answer."},
	{Pattern: "kubelet/api-server/status", Doc: "HTTP status of /readyz there, asked with the kubelet's own certificate: 401 where that is not accepted."},
	{Pattern: "kubelet/api-server/body", Doc: "What that answer says, where it is not 200."},
	{Pattern: "kubelet/client-certificate/path", Doc: "The file of the certificate with which the kubelet presents itself; that of the kubeconfig where it is embedded there."},
	{Pattern: "kubelet/client-certificate/subject", Doc: "Whom it names."},
	{Pattern: "kubelet/client-certificate/not-before", Doc: "RFC 3339: from when it is good."},
	{Pattern: "kubelet/client-certificate/not-after", Doc: "RFC 3339: until when it is good."},
	{Pattern: "kubelet/client-certificate/error", Doc: "Why it cannot be used: absent, or no certificate in the file."},
	{Pattern: "kubelet/host/cgroup-version", Doc: "1 or 2: the cgroup hierarchy of the host."},
	{Pattern: "kubelet/host/swap", Doc: "true where the host has swap turned on."},
}

// watcher keeps what costs to find anew, and since when things are as they are.
type watcher struct {
	host    monitor.Host
	process processes.Process
	// argv is that of the kubelet that ran last.
	argv    []string
	loaded  loaded
	changes monitor.Changes
	api     apiServer
}

func (w *watcher) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	w.changes.Look(w.host.Now())
	w.find()
	settings, out, err := w.config()
	errs := []error{err}
	client, more := w.client()
	out = append(out, more...)
	if w.process.ID == 0 && len(out) == 0 {
		return nil, errors.Join(errs...) // No node: it has neither a kubelet nor a file of one.
	}
	if w.process.ID != 0 {
		out = append(out, monitor.Int("kubelet/process/pid", w.process.ID))
		if state := w.process.State(); state != "" {
			out = append(out, monitor.Value("kubelet/process/state", state))
		}
	}
	out = append(out, w.changes.Since(monitor.Bool("kubelet/process/running", w.process.ID != 0)))
	out = append(out, w.kernel()...)

	var wg sync.WaitGroup
	var health, server, api []snapshot.MachineEvidence
	wg.Go(func() { health = probeHealth(ctx, settings.healthz()) })
	wg.Go(func() { server = evidence("server", reach.ConnectTLS(ctx, settings.server())) })
	wg.Go(func() { api = w.api.probe(ctx, w.host.Now(), client) })
	wg.Wait()
	for _, e := range append(append(health, server...), api...) {
		if strings.HasSuffix(string(e.Key), "/outcome") {
			e = w.changes.Since(e)
		}
		out = append(out, e)
	}
	return out, errors.Join(errs...)
}

// find looks for the kubelet's process: first where it was, then among all.
func (w *watcher) find() {
	if w.process.ID != 0 && w.process.Name() == program {
		return
	}
	w.process = processes.Process{}
	all, err := processes.All(w.host)
	if err != nil {
		return // Whether it answers is seen at its port as well.
	}
	for p := range all {
		if p.Name() != program {
			continue
		}
		if argv := p.Command(); argv != nil {
			w.process, w.argv = p, argv
			return
		}
	}
}

// program is the kubelet's name.
const program = "kubelet"

// flag returns the value of a flag of the kubelet's command line.
func (w *watcher) flag(name, fallback string) string {
	for i, arg := range w.argv {
		arg = strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
		if arg == name && i+1 < len(w.argv) {
			return w.argv[i+1]
		}
	}
	return fallback
}

// kernel tells what the kubelet demands of the host.
func (w *watcher) kernel() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	// Only the unified hierarchy has this file at its top (https://docs.kernel.org/admin-guide/cgroup-v2.html).
	if _, err := w.host.ReadFile("/sys/fs/cgroup/cgroup.controllers", 4<<10); err == nil {
		out = append(out, monitor.Int("kubelet/host/cgroup-version", 2))
	} else if entries, listed := w.host.ReadDir("/sys/fs/cgroup"); listed == nil && len(entries) > 0 && errors.Is(err, fs.ErrNotExist) {
		out = append(out, monitor.Int("kubelet/host/cgroup-version", 1))
	}
	if swaps, err := w.host.ReadFile("/proc/swaps", 64<<10); err == nil {
		out = append(out, monitor.Bool("kubelet/host/swap", strings.Count(string(swaps), "\n") > 1))
	}
	return out
}

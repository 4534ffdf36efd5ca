// Package components asks the parts of Kubernetes that run on this machine, each at its own port,
// whether they are well: the API server, the scheduler, the controller manager, etcd and kube-proxy. It asks
// only for what the machine should run, as a static pod or a unit tells.
package components

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/kubelet"
	"github.com/maek-dev/maek/internal/monitors/reach"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
	"github.com/maek-dev/maek/internal/snapshot"
)

// New makes the monitor.
func New(host monitor.Host) monitor.Monitor {
	w := &watcher{host: host, folder: kubelet.StaticPodPath(host), manifests: staticpods.NewReader(host)}
	return monitor.Monitor{
		Name: "components", Doc: "the parts of Kubernetes that this machine runs, asked at their own ports.",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: 15 * time.Second, Timeout: 10 * time.Second,
		Observe: w.observe,
	}
}

var keys = []monitor.Key{
	{Pattern: "component/*/from", Doc: "Why it should run here: the manifest of its static pod, its unit, its process or its logs. Components are named as their programs: kube-apiserver, kube-scheduler, kube-controller-manager, etcd, kube-proxy."},
	{Pattern: "component/*/endpoint", Doc: "The address that was asked."},
	{Pattern: "component/*/outcome", Doc: "How it answers: " + reach.Words},
	{Pattern: "component/*/status", Doc: "HTTP status of the answer; 200 is healthy."},
	{Pattern: "component/*/body", Doc: "What the answer says, where it is not 200: of many checks those that fail."},
	{Pattern: "component/*/error", Doc: "Why there is no answer."},
	{Pattern: "component/*/latency-seconds", Doc: "How long the answer took."},
	{Pattern: "component/*/ready-status", Doc: "HTTP status of /readyz, where it is asked beside its liveness; 200 is ready."},
	{Pattern: "component/*/ready-body", Doc: "The checks of it that fail."},
	{Pattern: "component/*/processes", Doc: "How many processes of its name run on the machine."},
	{Pattern: "component/*/last-error", Doc: "The line of its log by which it said why it ended, where it is not healthy; at: when it wrote it."},
	{Pattern: "component/*/last-line/*", Doc: "The last five lines of its log, numbered from the oldest, 1, where it is not healthy."},
}

type watcher struct {
	host      monitor.Host
	folder    func() string
	manifests *staticpods.Reader
	changes   monitor.Changes
}

func (w *watcher) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	parts, err := w.expected()
	said := make([][]snapshot.MachineEvidence, len(parts))
	errs := make([]error, len(parts)+1)
	errs[len(parts)] = err
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			live, ready, took := p.ask(ctx, w.host.Now)
			said[i] = p.evidence(live, ready, took)
			if live.Status == http.StatusOK && (ready.Status == 0 || ready.Status == http.StatusOK) {
				return
			}
			lines, err := p.log(w.host)
			errs[i] = err
			said[i] = append(said[i], p.lastWords(lines)...)
		})
	}
	wg.Wait()
	w.changes.Look(w.host.Now())
	out := slices.Concat(said...)
	for i, e := range out {
		if strings.HasSuffix(string(e.Key), "/outcome") {
			out[i] = w.changes.Since(e)
		}
	}
	return out, errors.Join(errs...)
}

// anyCertificate is for programs on this very machine: who could answer in their place could read their
// keys too, and a certificate that is out of date is told elsewhere.
func anyCertificate() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // see above
}

// ask asks whether a part lives, and whether it is ready where that is another question.
func (p part) ask(ctx context.Context, now func() time.Time) (live, ready reach.Answer, took time.Duration) {
	began := now()
	live = reach.Get(ctx, p.base+p.live, anyCertificate())
	took = now().Sub(began)
	if live.Status == http.StatusNotFound && p.older != "" {
		live = reach.Get(ctx, p.base+p.older, anyCertificate())
	}
	if p.ready != "" && live.Outcome == reach.Answered {
		ready = reach.Get(ctx, p.base+p.ready, anyCertificate())
		if ready.Status == http.StatusNotFound {
			ready = reach.Answer{} // etcd before 3.5.11 has no such page.
		}
	}
	return live, ready, took
}

func (p part) evidence(live, ready reach.Answer, took time.Duration) []snapshot.MachineEvidence {
	key := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("component", p.name, what) }
	out := []snapshot.MachineEvidence{
		monitor.Value(key("from"), p.from), monitor.Value(key("endpoint"), p.base+p.live), monitor.Int(key("processes"), p.processes),
		monitor.Value(key("outcome"), string(live.Outcome)),
	}
	if live.Error != "" {
		out = append(out, monitor.Value(key("error"), live.Error))
	}
	if live.Status != 0 {
		out = append(out, monitor.Int(key("status"), live.Status), monitor.Value(key("latency-seconds"), strconv.FormatFloat(took.Seconds(), 'f', 3, 64)))
		if live.Status != http.StatusOK {
			out = append(out, monitor.Value(key("body"), failing(live.Body)))
		}
	}
	if ready.Status != 0 {
		out = append(out, monitor.Int(key("ready-status"), ready.Status))
		if ready.Status != http.StatusOK {
			out = append(out, monitor.Value(key("ready-body"), failing(ready.Body)))
		}
	}
	return out
}

// failing are the checks that fail, of a page that lists all of them
// (k8s.io/apiserver/pkg/server/healthz, handleRootHealth); the page itself where it lists none.
func failing(body string) string {
	var out []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	if len(out) == 0 {
		return body
	}
	return strings.Join(out, "\n")
}

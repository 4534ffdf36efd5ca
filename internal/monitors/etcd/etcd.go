// Package etcd watches the store behind the API server from a machine on which a member runs, or a
// kube-apiserver that uses one elsewhere. It finds out how etcd is configured there, asks every member
// that the cluster has, each by itself, and reads the metrics of the member at hand. Nothing it does is
// written: alarms are read from what members say of themselves, for asking for them passes through raft.
package etcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	interval = 15 * time.Second
	// timeout leaves a member that hangs its three questions, one after another.
	timeout = 8 * time.Second
	// hashTimeout leaves members time to read databases of several GiB, one member after another.
	hashTimeout = 3 * time.Minute
	// searchEvery is how often processes are looked through while files name no etcd.
	searchEvery = 5 * time.Minute
)

// Option changes what the monitor does.
type Option func(*watcher)

// WithHash makes every look compare all keys of all members. Each member reads its whole database for
// it, which may take minutes: it is for a person who asks once.
func WithHash() Option { return func(w *watcher) { w.hash = true } }

// New makes the monitor.
func New(host monitor.Host, options ...Option) monitor.Monitor {
	w := &watcher{host: host}
	for _, o := range options {
		o(w)
	}
	longest := timeout
	if w.hash {
		longest += hashTimeout
	}
	return monitor.Monitor{
		Name:     "etcd",
		Doc:      "asks every member of etcd by its client API, and the one on this machine for its metrics",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.HostFiles, monitor.EtcdClient},
		Interval: interval, Timeout: longest,
		Observe: w.observe,
	}
}

// watcher keeps what must be known from one look to the next.
type watcher struct {
	host monitor.Host
	hash bool
	// searched is when processes were last looked through, and process what was found there.
	searched time.Time
	process  found
	// known is the last list of members, and loaded tells that what was kept of it is in.
	known  roster
	loaded bool
	// own is the ID of the member on this machine.
	own       uint64
	samples   []*sample
	compacted compaction
	changes   monitor.Changes
	now       time.Time
	out       []snapshot.MachineEvidence
}

func (w *watcher) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	w.now, w.out = w.host.Now(), nil
	w.changes.Look(w.now)
	f, err := w.find()
	if f.none() {
		return nil, err
	}
	errs := []error{err}
	if !w.loaded {
		errs = append(errs, w.load())
		w.loaded = true
	}
	config, err := credentials(w.host, f)
	errs = append(errs, err)
	w.configured(f)
	views, err := w.askAll(ctx, f, config)
	errs = append(errs, err)
	w.tellMembers(f, views)
	if f.etcd != nil {
		errs = append(errs, w.tellLocal(ctx, f, config, views))
	}
	if w.hash {
		hashes, err := w.hashes(ctx, config, views)
		errs = append(errs, err)
		for _, h := range hashes {
			w.add(monitor.Value(snapshot.KeyOf("etcd", "member", h.Member, "hash"), fmt.Sprintf("%08x", h.Hash)))
			w.add(monitor.Int(snapshot.KeyOf("etcd", "member", h.Member, "hash-revision"), h.Revision))
			w.add(monitor.Int(snapshot.KeyOf("etcd", "member", h.Member, "hash-compact-revision"), h.CompactRevision))
		}
	}
	return w.out, errors.Join(errs...)
}

// find reads the configuration anew at each look, for it may be what is wrong; processes seldom. What
// was once found as a process stays, for that it ended is what must be told.
func (w *watcher) find() (found, error) {
	f, err := discover(w.host, false)
	if f.etcd == nil && (w.searched.IsZero() || w.now.Sub(w.searched) >= searchEvery) {
		w.searched = w.now
		f, err = discover(w.host, true)
		w.process = found{etcd: cmp.Or(f.etcd, w.process.etcd), server: cmp.Or(f.server, w.process.server)}
	}
	if f.etcd == nil {
		f.etcd = w.process.etcd
	}
	if f.server == nil {
		f.server = w.process.server
	}
	return f, err
}

func (w *watcher) add(e snapshot.MachineEvidence) { w.out = append(w.out, e) }

// track adds a value with since when it is so, as far as this process saw it change.
func (w *watcher) track(e snapshot.MachineEvidence) { w.add(w.changes.Since(e)) }

// askAll asks the members that are known, all at once. The list is taken from whoever has one; where
// nobody has, from what was seen before or what the member was started with.
func (w *watcher) askAll(ctx context.Context, f found, config *tls.Config) (map[string]view, error) {
	views := map[string]view{}
	errs := []error{w.askEach(ctx, w.entrances(f), config, true, views)}
	listed := w.takeList(views)
	if len(w.known.Members) == 0 && f.etcd != nil {
		w.known = guessed(f.etcd)
	}
	var others []string
	for _, m := range w.known.Members {
		if at := reachable(m.ClientURLs); len(at) > 0 && w.viewOf(m, views) == nil {
			others = append(others, at[0])
		}
	}
	errs = append(errs, w.askEach(ctx, others, config, !listed, views))
	if !listed {
		listed = w.takeList(views)
	}
	if listed {
		errs = append(errs, w.save())
	}
	return views, errors.Join(errs...)
}

// takeList takes the list of the first member that gave one.
func (w *watcher) takeList(views map[string]view) bool {
	for _, at := range slices.Sorted(maps.Keys(views)) {
		if v := views[at]; len(v.members) > 0 {
			w.known.renew(v.cluster, v.members, w.now)
			return true
		}
	}
	return false
}

// entrances are the URLs at which the cluster is asked first.
func (w *watcher) entrances(f found) []string {
	var out []string
	if f.etcd != nil {
		out = append(out, f.etcd.clientURL())
	}
	if f.server != nil {
		for _, at := range reachable(f.server.flags.list("etcd-servers")) {
			if !slices.Contains(out, at) {
				out = append(out, at)
			}
		}
	}
	return out
}

func (w *watcher) askEach(ctx context.Context, urls []string, config *tls.Config, list bool, views map[string]view) error {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		errs []error
	)
	for _, at := range urls {
		wg.Go(func() {
			v, err := ask(ctx, at, config, w.host.Now, list)
			if v.answer == failed {
				v = askOld(ctx, v, config, w.host.Now)
			}
			if v.answer == denied || v.answer == distrusted {
				err = fmt.Errorf("asking etcd at %s: %s", at, v.reason)
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			views[at] = v
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// viewOf is what a member said, whichever of its URLs it was asked at; nil where it was not asked.
func (w *watcher) viewOf(m member, views map[string]view) *view {
	var failure *view
	for at, v := range views {
		switch {
		case v.id != 0 && v.id == m.ID:
			return &v
		case (v.id == 0 || m.ID == 0) && slices.Contains(reachable(m.ClientURLs), at):
			failure = &v
		}
	}
	return failure
}

// hashes compares the members at the newest revision that all have.
func (w *watcher) hashes(ctx context.Context, config *tls.Config, views map[string]view) ([]Hash, error) {
	var revision int64
	urls := map[uint64]string{}
	for at, v := range views {
		if v.status == nil {
			continue
		}
		urls[v.id] = at
		if r := v.status.GetHeader().GetRevision(); revision == 0 || r < revision {
			revision = r
		}
	}
	var out []Hash
	var errs []error
	for _, m := range w.known.Members {
		at, ok := urls[m.ID]
		if !ok {
			continue
		}
		h, err := hashOf(ctx, at, config, revision)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, h)
	}
	return out, errors.Join(errs...)
}

package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/monitors/logs/journal"
)

// Bounds of what is read again after a start: as long as what stands by default may stand.
const (
	// lookback is how old a line of a component may be.
	lookback = time.Hour
	// kernelLookback is how old a line of the kernel may be: some of what it tells stands until the next boot.
	kernelLookback = 24 * time.Hour
	// maxPodLogs bounds the logs of Pods that are followed.
	maxPodLogs = 64
)

// sources keeps the logs of a machine open.
type sources struct {
	host monitor.Host
	// all takes every line of the journal, not only of writers that the catalogue knows.
	all bool
	// lookback and kernelLookback bound what is read of a log that is first seen.
	lookback, kernelLookback time.Duration
	// identifiers are writers in the journal that are read beside those of the catalogue.
	identifiers []string
	open        map[string]source
	checkpoints map[string]string
	// noJournal says why the journal cannot be read.
	noJournal error
}

func newSources(host monitor.Host, checkpoints map[string]string) *sources {
	return &sources{host: host, lookback: lookback, kernelLookback: kernelLookback, open: map[string]source{}, checkpoints: checkpoints}
}

// refresh opens what is new. What could not be opened is an error; the others are read.
func (s *sources) refresh(ctx context.Context) error {
	var errs []error
	errs = append(errs, s.openJournal(), s.openKernel(ctx), s.openFiles(), s.openPods())
	return errors.Join(errs...)
}

func (s *sources) since() time.Time { return s.host.Now().Add(-s.lookback) }

func (s *sources) openJournal() error {
	if s.open["journal"] != nil {
		return nil
	}
	var matches []journal.Match
	if !s.all {
		matches = componentMatches()
		for _, id := range s.identifiers {
			matches = append(matches, journal.Match{{Name: "SYSLOG_IDENTIFIER", Value: id}})
		}
	}
	src, err := openJournal(journal.Of(s.host), matches, s.checkpoints["journal"], s.since())
	if s.noJournal = err; errors.Is(err, journal.ErrNone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the systemd journal cannot be read: %w", err)
	}
	s.open["journal"] = src
	return nil
}

// openKernel takes the kernel's log from where it can be had: its own device, the journal, or a file.
func (s *sources) openKernel(ctx context.Context) error {
	if s.open["kernel"] != nil {
		return nil
	}
	since := s.host.Now().Add(-s.kernelLookback)
	k, err := openKernel(s.host, s.checkpoints["kernel"], since)
	if err == nil {
		s.open["kernel"] = k
		return nil
	}
	if s.open["journal"] != nil {
		j := journal.Of(s.host)
		if lines, _ := j.LastKernel(ctx, 1); len(lines) > 0 {
			if s.all {
				return nil // it is among the journal's lines
			}
			src, err := openJournal(j, journal.Kernel(), s.checkpoints["kernel"], since)
			if err == nil {
				s.open["kernel"] = src
			}
			return err
		}
	}
	for _, name := range []string{"/var/log/kern.log", "/var/log/syslog", "/var/log/messages"} {
		src := &fileSource{called: name, format: formatSyslog, only: catalogue.Kernel, since: since, now: s.host.Now}
		if s.noJournal != nil {
			src.only = "" // the same file stands in for the journal
		}
		if s.open[name] != nil || s.openFile(src, name) == nil {
			return nil
		}
	}
	return fmt.Errorf("the kernel's log cannot be read: neither from /dev/kmsg (%w), which takes the device and CAP_SYSLOG, nor from the journal or /var/log", err)
}

func (s *sources) openFile(src *fileSource, name string) error {
	path, err := s.host.Path(name)
	if err != nil {
		return err
	}
	if err := src.open(path, s.checkpoints[src.called]); err != nil {
		return err
	}
	s.open[src.called] = src
	return nil
}

// openFiles opens the text files of installations that write such (kube-up, and what came of it), and
// those of syslog where there is no journal.
func (s *sources) openFiles() error {
	var errs []error
	files := map[string]format{
		"/var/log/kubelet.log": formatPlain, "/var/log/kube-apiserver.log": formatPlain, "/var/log/kube-scheduler.log": formatPlain,
		"/var/log/kube-controller-manager.log": formatPlain, "/var/log/kube-proxy.log": formatPlain, "/var/log/etcd.log": formatPlain,
	}
	if errors.Is(s.noJournal, journal.ErrNone) {
		files["/var/log/syslog"], files["/var/log/messages"], files["/var/log/kern.log"] = formatSyslog, formatSyslog, formatSyslog
	}
	for name, f := range files {
		if s.open[name] != nil {
			continue
		}
		src := &fileSource{called: name, format: f, since: s.since(), now: s.host.Now}
		if f == formatPlain {
			src.writer = strings.TrimSuffix(path.Base(name), ".log")
			src.class = classOfWriter(src.writer)
		}
		if err := s.openFile(src, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s cannot be read: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// podsFolder holds the logs of containers (kubelet: podLogsRootDirectory).
const podsFolder = "/var/log/pods"

// openPods opens the newest log of each container that the catalogue knows, and closes those of
// containers that are gone.
func (s *sources) openPods() error {
	pods, err := s.host.ReadDir(podsFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the logs of Pods cannot be read: %w", err)
	}
	wanted := map[string]bool{}
	var errs []error
	for _, pod := range pods {
		// NAMESPACE_NAME_UID; a static Pod's UID is the hash of its manifest.
		parts := strings.Split(pod.Name(), "_")
		if len(parts) != 3 || !pod.IsDir() || !systemNamespace(parts[0]) {
			continue
		}
		containers, err := s.host.ReadDir(podsFolder + "/" + pod.Name())
		if err != nil {
			continue // gone meanwhile
		}
		for _, c := range containers {
			class := classOfWriter(c.Name())
			if class == "" || len(wanted) >= maxPodLogs {
				continue
			}
			folder := podsFolder + "/" + pod.Name() + "/" + c.Name()
			file := s.newestLog(folder)
			if file == "" {
				continue
			}
			name := parts[0] + "/" + parts[1] + "/" + c.Name() + " " + file
			wanted[name] = true
			if s.open[name] != nil {
				continue
			}
			src := &fileSource{called: name, format: formatCRI, class: class, writer: c.Name(), since: s.since(), now: s.host.Now}
			if err := s.openFile(src, folder+"/"+file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("the log of %s cannot be read: %w", name, err))
			}
		}
	}
	for name, src := range s.open {
		if f, ok := src.(*fileSource); ok && f.format == formatCRI && !wanted[name] {
			src.close()
			delete(s.open, name)
			delete(s.checkpoints, name)
		}
	}
	return errors.Join(errs...)
}

// systemNamespace tells of the namespaces of the cluster's own parts: a container of a user that is
// named like one of them is not one.
func systemNamespace(ns string) bool {
	return slices.Contains([]string{"kube-system", "kube-flannel", "calico-system", "cilium", "cilium-system"}, ns)
}

// newestLog is the log of a container's present run: the file of the highest number.
func (s *sources) newestLog(folder string) string {
	files, err := s.host.ReadDir(folder)
	if err != nil {
		return ""
	}
	newest, best := "", -1
	for _, f := range files {
		number, isLog := strings.CutSuffix(f.Name(), ".log")
		if n, err := strconv.Atoi(number); isLog && err == nil && n > best {
			newest, best = f.Name(), n
		}
	}
	return newest
}

// names of the open logs, in order.
func (s *sources) names() []string {
	out := make([]string, 0, len(s.open))
	for name := range s.open {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// where are the checkpoints of all logs.
func (s *sources) where() map[string]string {
	out := map[string]string{}
	for name, src := range s.open {
		if at := src.checkpoint(); at != "" {
			out[name] = at
		}
	}
	return out
}

func (s *sources) close() {
	for _, src := range s.open {
		src.close()
	}
}

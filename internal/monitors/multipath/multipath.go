// Package multipath watches the machine's multipath devices and their paths: from sysfs, and from
// multipathd, which alone knows what its checkers found.
package multipath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	fileLimit = 4 << 10
	// answerTimeout bounds multipathd's answer; it waits for its checkers.
	answerTimeout = 3 * time.Second
)

// New makes the monitor of a host's multipath devices.
func New(host monitor.Host) monitor.Monitor {
	// The name in the abstract namespace is that of Debian 12 and RHEL 9, the path since multipath-tools 0.12.
	return newWith(host, "@/org/kernel/linux/storage/multipathd", "/run/multipathd.socket")
}

func newWith(host monitor.Host, abstract, socket string) monitor.Monitor {
	w := &watch{host: host, abstract: abstract, socket: socket, most: map[string]int{}, lost: map[string]time.Time{}}
	return monitor.Monitor{
		Name: "multipath", Doc: "Multipath devices and their paths, from /sys and multipathd's socket; nothing where there are none.",
		Keys: []monitor.Key{
			{Pattern: "multipath/daemon", Doc: "Whether multipathd answers: answers or silent."},
			{Pattern: "multipath/map/*/uuid", Doc: "The unit of storage (WWID) behind a multipath device."},
			{Pattern: "multipath/map/*/device", Doc: "Its kernel name, as dm-0."},
			{Pattern: "multipath/map/*/paths", Doc: "Number of its paths, usable or not."},
			{Pattern: "multipath/map/*/paths-seen", Doc: "The greatest number of paths that it was seen with."},
			{Pattern: "multipath/map/*/usable", Doc: "Number of paths that can be used; At is since when it is below paths-seen, as far as that was seen."},
			{Pattern: "multipath/map/*/queues", Doc: "Whether reads and writes wait, rather than fail, while no path can be used; absent where multipathd does not say."},
			{Pattern: "multipath/map/*/path/*", Doc: "State of a path: what multipathd's checker says (ready, faulty, ghost, shaky, delayed), or where it is silent the disk's (running, blocked, offline, transport-offline)."},
			{Pattern: "multipath/map/*/host/*", Doc: "Adapter or address by which a path goes."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Timeout:  answerTimeout + 2*time.Second,
		Observe:  w.observe,
	}
}

type watch struct {
	host             monitor.Host
	abstract, socket string
	most             map[string]int
	lost             map[string]time.Time
}

// device is a multipath device and the states of its paths.
type device struct {
	name, uuid, kernel string
	paths              map[string]string
	hosts              map[string]string
	usable             int
	queues             *bool
}

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	devices, err := w.fromKernel()
	if err != nil || len(devices) == 0 {
		return nil, err
	}
	var out []snapshot.MachineEvidence
	told, gap := w.ask(ctx)
	if gap != nil {
		out = append(out, monitor.Value("multipath/daemon", "silent"))
	} else {
		out = append(out, monitor.Value("multipath/daemon", "answers"))
	}
	most, lost := map[string]int{}, map[string]time.Time{}
	for _, d := range devices {
		for _, m := range told {
			if m.UUID == d.uuid {
				d.refine(m)
			}
		}
		most[d.name] = max(w.most[d.name], len(d.paths))
		if d.usable < most[d.name] {
			lost[d.name] = w.lost[d.name]
			if before, known := w.most[d.name]; known && lost[d.name].IsZero() && before > d.usable && w.wasWhole(d.name) {
				lost[d.name] = w.host.Now()
			}
		}
		out = append(out, describe(d, most[d.name], lost[d.name])...)
	}
	w.most, w.lost = most, lost
	return out, gap
}

// wasWhole tells whether a device was seen with all its paths usable at the last look.
func (w *watch) wasWhole(name string) bool {
	_, missing := w.lost[name]
	return !missing
}

func describe(d *device, most int, lost time.Time) []snapshot.MachineEvidence {
	key := func(words ...string) snapshot.EvidenceKey {
		return snapshot.KeyOf(append([]string{"multipath", "map", d.name}, words...)...)
	}
	out := []snapshot.MachineEvidence{
		monitor.Value(key("uuid"), d.uuid), monitor.Value(key("device"), d.kernel),
		monitor.Int(key("paths"), len(d.paths)), monitor.Int(key("paths-seen"), most), monitor.Since(monitor.Int(key("usable"), d.usable), lost),
	}
	if d.queues != nil {
		out = append(out, monitor.Bool(key("queues"), *d.queues))
	}
	for name, state := range d.paths {
		out = append(out, monitor.Value(key("path", name), state))
	}
	for name, host := range d.hosts {
		out = append(out, monitor.Value(key("host", name), host))
	}
	return out
}

// fromKernel lists the multipath devices of the device mapper with the disks below them.
func (w *watch) fromKernel() ([]*device, error) {
	entries, err := w.host.ReadDir("/sys/block")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing block devices: %w", err)
	}
	var out []*device
	for _, e := range entries {
		folder := path.Join("/sys/block", e.Name())
		uuid, is := strings.CutPrefix(w.attribute(folder, "dm/uuid"), "mpath-")
		if !is {
			continue
		}
		d := &device{name: w.attribute(folder, "dm/name"), uuid: uuid, kernel: e.Name(), paths: map[string]string{}, hosts: map[string]string{}}
		disks, err := w.host.ReadDir(path.Join(folder, "slaves"))
		if err != nil {
			continue // it was removed meanwhile
		}
		for _, s := range disks {
			state := w.attribute("/sys/block", s.Name(), "device/state")
			d.paths[s.Name()] = state
			if state == "running" || state == "" { // NVMe has no such file
				d.usable++
			}
		}
		out = append(out, d)
	}
	return out, nil
}

func (w *watch) attribute(name ...string) string {
	data, err := w.host.ReadFile(path.Join(name...), fileLimit)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// told is a multipath device in multipathd's words (libmultipath/print.c).
type told struct {
	UUID     string `json:"uuid"`
	Queueing string `json:"queueing"`
	Features string `json:"features"`
	Groups   []struct {
		Paths []struct {
			Dev     string `json:"dev"`
			State   string `json:"dm_st"`
			Checker string `json:"chk_st"`
			Host    string `json:"host_adapter"`
		} `json:"paths"`
	} `json:"path_groups"`
}

// refine takes over what multipathd's checkers found.
func (d *device) refine(t told) {
	// "off" and "-" stand for failing at once; "on" and a time for waiting, which is also a feature of the map.
	queues := t.Queueing != "off" && t.Queueing != "-" || strings.Contains(t.Features, "queue_if_no_path")
	d.queues, d.usable = &queues, 0
	d.paths = map[string]string{}
	for _, g := range t.Groups {
		for _, p := range g.Paths {
			d.paths[p.Dev] = p.Checker
			if p.State == "active" && p.Checker != "faulty" {
				d.usable++
			}
			if p.Host != "" && p.Host != "[undef]" {
				d.hosts[p.Dev] = p.Host
			}
		}
	}
}

// ask asks multipathd for its maps.
func (w *watch) ask(ctx context.Context) ([]told, error) {
	answer, err := w.command(ctx, "show maps json")
	if err != nil {
		return nil, fmt.Errorf("asking multipathd for its maps, which takes its socket in the host's network namespace: %w", err)
	}
	var maps struct {
		Version int    `json:"major_version"`
		Maps    []told `json:"maps"`
	}
	if err := json.Unmarshal(answer, &maps); err != nil {
		return nil, fmt.Errorf("reading multipathd's answer: %w", err)
	}
	return maps.Maps, nil
}

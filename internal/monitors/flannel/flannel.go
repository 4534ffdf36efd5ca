package flannel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// interval is how often the machine is looked at, and storeInterval how often etcd is asked: leases
// are renewed by the hour.
const (
	interval      = 30 * time.Second
	storeInterval = 5 * time.Minute
)

// program is the name that the kernel knows flanneld by, and service the usual name of its unit.
const (
	program = "flanneld"
	service = "flanneld.service"
)

// watch is the monitor with what it remembers.
type watch struct {
	host     monitor.Host
	programs programs
	store    struct {
		settings string
		at       time.Time
		answered bool
		evidence []snapshot.MachineEvidence
		err      error
	}
}

// New makes the monitor of a host.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, programs: programs{host: host}}
	return monitor.Monitor{
		Name:     "flannel",
		Doc:      "flanneld's settings, its subnet file, Docker's part in it, and where subnets are kept in etcd, the stored configuration and all leases.",
		Keys:     keys(),
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: interval,
		Timeout:  15 * time.Second,
		Observe:  w.observe,
	}
}

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	commands, pids, err := w.programs.find(program, "dockerd", "docker-current")
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("looking for flanneld among the host's processes: %w", err))
	}
	u, err := readUnit(w.host, service)
	errs = append(errs, err)

	var s settings
	command, running := commands[program]
	switch {
	case running:
		var environment map[string]string
		if u != nil {
			environment = u.environment
		}
		s = settingsOf("command line of process "+strconv.Itoa(pids[program]), command[1:], environment)
	case u != nil:
		s = settingsOf(u.file, u.args(), u.environment)
	}
	own, file, err := w.subnetFile(s)
	errs = append(errs, err)
	if !running && u == nil && file == nil {
		return nil, errors.Join(errs...) // No flannel here.
	}
	out := file
	if running || u != nil {
		out = append(out, monitor.Bool("flannel/running", running))
	}
	if u != nil {
		out = append(out, monitor.Value("flannel/unit-file", u.file))
	}
	docker, err := w.docker(commands)
	errs = append(errs, err)
	out = append(out, docker...)
	if s.source == "" {
		return out, errors.Join(errs...)
	}
	out = append(out, s.evidence()...)
	if s.inKubernetes() {
		return append(out, w.configFile(s, pids[program])...), errors.Join(errs...)
	}
	stored, err := w.stored(ctx, s, own)
	return append(out, stored...), errors.Join(append(errs, err)...)
}

// evidence of the settings.
func (s settings) evidence() []snapshot.MachineEvidence {
	store := "etcd"
	if s.inKubernetes() {
		store = "kubernetes"
	}
	out := []snapshot.MachineEvidence{monitor.Value("flannel/settings-source", s.source), monitor.Value("flannel/store", store)}
	for _, name := range told {
		value := s.flags[name]
		if store == "etcd" && (name == "etcd-endpoints" || name == "etcd-prefix") {
			value = s.get(name)
		}
		if value != "" {
			out = append(out, monitor.Value(snapshot.KeyOf("flannel", "setting", name), value))
		}
		if before, ok := s.earlier[name]; ok {
			out = append(out, monitor.Value(snapshot.KeyOf("flannel", "setting-overridden", name), before))
		}
	}
	return out
}

// subnetFile reads what flanneld wrote for network plugins, and the machine's own subnet out of it.
func (w *watch) subnetFile(s settings) (netip.Prefix, []snapshot.MachineEvidence, error) {
	file := s.get("subnet-file")
	values, err := readEnvironment(w.host, file)
	if errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, nil, nil
	}
	if err != nil {
		return netip.Prefix{}, nil, fmt.Errorf("reading flannel's subnet file: %w", err)
	}
	written := w.modified(file)
	var out []snapshot.MachineEvidence
	for word, name := range map[string]string{
		"network": "FLANNEL_NETWORK", "subnet": "FLANNEL_SUBNET", "ipv6-network": "FLANNEL_IPV6_NETWORK", "ipv6-subnet": "FLANNEL_IPV6_SUBNET",
		"mtu": "FLANNEL_MTU", "ip-masq": "FLANNEL_IPMASQ",
	} {
		if v, ok := values[name]; ok {
			out = append(out, monitor.Since(monitor.Value(snapshot.KeyOf("flannel", "subnet-file", word), v), written))
		}
	}
	own, err := netip.ParsePrefix(values["FLANNEL_SUBNET"])
	if err == nil {
		own = own.Masked()
	}
	return own, append(out, monitor.Since(monitor.Value("flannel/subnet-file/path", file), written)), nil
}

// modified is when a file was last written; zero where nobody can say.
func (w *watch) modified(file string) time.Time {
	entries, err := w.host.ReadDir(path.Dir(file))
	if err != nil {
		return time.Time{}
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Name() == path.Base(file) {
			return info.ModTime()
		}
	}
	return time.Time{}
}

// docker tells which bridge address Docker was given, where it runs.
func (w *watch) docker(commands map[string][]string) ([]snapshot.MachineEvidence, error) {
	args, ok := commands["dockerd"]
	if !ok {
		args, ok = commands["docker-current"]
	}
	if !ok {
		return nil, nil
	}
	out := map[string]string{}
	for i, arg := range args {
		for _, name := range []string{"bip", "mtu"} {
			if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
				out[name] = value
			} else if arg == "--"+name && i+1 < len(args) {
				out[name] = args[i+1]
			}
		}
	}
	var errs []error
	if data, err := w.host.ReadFile("/etc/docker/daemon.json", fileBytes); err == nil {
		var file struct {
			BIP string `json:"bip"`
			MTU *int   `json:"mtu"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			errs = append(errs, fmt.Errorf("parsing /etc/docker/daemon.json: %w", err))
		}
		if file.BIP != "" {
			out["bip"] = file.BIP
		}
		if file.MTU != nil {
			out["mtu"] = strconv.Itoa(*file.MTU)
		}
	}
	var evidence []snapshot.MachineEvidence
	for name, value := range out {
		evidence = append(evidence, monitor.Value(snapshot.KeyOf("flannel", "docker", name), value))
	}
	return evidence, errors.Join(errs...)
}

// configFile reads the configuration that a flanneld was given as a file. One that runs in a pod has it
// among files of its own, which takes the rights over that process to read, and the Nodes say as much.
func (w *watch) configFile(s settings, pid int) []snapshot.MachineEvidence {
	file := s.get("net-config-path")
	for _, at := range []string{path.Join("/proc", strconv.Itoa(pid), "root", file), file} {
		data, err := w.host.ReadFile(at, fileBytes)
		if err != nil {
			continue
		}
		if c, err := parseConfig(data); err == nil {
			return c.evidence(file)
		}
	}
	return nil
}

// stored reads what is kept in etcd, or gives what was read not long ago.
func (w *watch) stored(ctx context.Context, s settings, own netip.Prefix) ([]snapshot.MachineEvidence, error) {
	now := w.host.Now()
	told := strings.Join(s.endpoints(), ",") + s.prefix()
	if w.store.settings == told && w.store.answered && now.Sub(w.store.at) < storeInterval {
		return w.store.evidence, nil
	}
	w.store.settings, w.store.at, w.store.answered = told, now, false
	w.store.evidence, w.store.err = w.readStore(ctx, s, own, now)
	return w.store.evidence, w.store.err
}

func (w *watch) readStore(ctx context.Context, s settings, own netip.Prefix, now time.Time) ([]snapshot.MachineEvidence, error) {
	a, err := accessOf(w.host, s)
	if err != nil {
		return nil, err
	}
	a.own = own
	h, err := read(ctx, a)
	if err != nil {
		return []snapshot.MachineEvidence{monitor.Bool("flannel/etcd/answers", false), monitor.Value("flannel/etcd/failure", err.Error())}, fmt.Errorf("reading flannel's subnets: %w", err)
	}
	w.store.answered = true
	out := []snapshot.MachineEvidence{
		monitor.Bool("flannel/etcd/answers", true), monitor.Value("flannel/etcd/api", h.api), monitor.Moment("flannel/etcd/read-at", now),
		monitor.Bool("flannel/etcd/config", h.config != nil), monitor.Int("flannel/etcd/leases", len(h.leases)), monitor.Bool("flannel/etcd/all-leases", !h.cut),
	}
	errs := h.strange
	if h.config != nil {
		c, err := parseConfig(h.config)
		if err != nil {
			out = append(out, monitor.Value("flannel/etcd/config-broken", err.Error()))
		} else {
			out = append(out, c.evidence("etcd "+path.Join(a.prefix, "config"))...)
		}
	}
	for _, l := range h.leases {
		out = append(out, l.evidence()...)
	}
	return out, errors.Join(errs...)
}

// Package iscsi watches the machine's iSCSI sessions and the records of those that it should have,
// without iscsiadm: from sysfs and open-iscsi's files. Of records it reads where they lead and whether
// they are logged in to by themselves; passwords stand beside that and are not read out.
package iscsi

import (
	"context"
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
	sessions    = "/sys/class/iscsi_session"
	connections = "/sys/class/iscsi_connection"
	// fileLimit bounds the files that are read: records have some sixty lines.
	fileLimit = 64 << 10
)

// recordFolders are where open-iscsi keeps records: the second since Fedora 38 and in RHEL 9.
var recordFolders = []string{"/etc/iscsi/nodes", "/var/lib/iscsi/nodes"}

// New makes the monitor of a host's iSCSI sessions.
func New(host monitor.Host) monitor.Monitor {
	w := &watch{host: host, states: map[string]state{}}
	return monitor.Monitor{
		Name: "iscsi", Doc: "iSCSI sessions and their devices from /sys, and the records of open-iscsi; nothing where there are none.",
		Keys: []monitor.Key{
			{Pattern: "iscsi/initiator-name", Doc: "The name with which the machine presents itself to targets (/etc/iscsi/initiatorname.iscsi)."},
			{Pattern: "iscsi/session/*/target", Doc: "Target of a session, as iqn.2026-01.com.example:disks."},
			{Pattern: "iscsi/session/*/portal", Doc: "Address and port of its target's portal."},
			{Pattern: "iscsi/session/*/state", Doc: "LOGGED_IN, FAILED or FREE; At is since when, as far as that was seen."},
			{Pattern: "iscsi/session/*/connection", Doc: "State of its connection: up, failed or down."},
			{Pattern: "iscsi/session/*/recovery-seconds", Doc: "For how long reads and writes wait for a lost session before they fail."},
			{Pattern: "iscsi/session/*/device/*", Doc: "State of a disk that came by it: running, blocked, transport-offline or offline."},
			{Pattern: "iscsi/record/*/*", Doc: "Whether a target (the first name) is logged in to at a portal (the second) when the machine starts: automatic, onboot or manual."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Observe:  func(context.Context) ([]snapshot.MachineEvidence, error) { return w.observe() },
	}
}

type watch struct {
	host   monitor.Host
	states map[string]state
}

// state is how a session was last seen, and since when.
type state struct {
	name  string
	since time.Time
}

func (w *watch) observe() ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	for _, read := range []func() ([]snapshot.MachineEvidence, error){w.sessions, w.records, w.initiator} {
		e, err := read()
		out = append(out, e...)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			gaps = append(gaps, err)
		}
	}
	return out, errors.Join(gaps...)
}

// attribute is a file of sysfs with one word; empty where it is not there.
func (w *watch) attribute(name ...string) string {
	data, err := w.host.ReadFile(path.Join(name...), fileLimit)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (w *watch) sessions() ([]snapshot.MachineEvidence, error) {
	entries, err := w.host.ReadDir(sessions)
	if err != nil {
		return nil, fmt.Errorf("listing iSCSI sessions: %w", err)
	}
	var out []snapshot.MachineEvidence
	present := map[string]state{}
	for _, e := range entries {
		name := e.Name()
		key := func(words ...string) snapshot.EvidenceKey {
			return snapshot.KeyOf(append([]string{"iscsi", "session", name}, words...)...)
		}
		target := w.attribute(sessions, name, "targetname")
		if target == "" {
			continue // it ended meanwhile
		}
		now := state{name: w.attribute(sessions, name, "state")}
		if before, known := w.states[name]; known {
			now.since = before.since
			if before.name != now.name {
				now.since = w.host.Now()
			}
		}
		present[name] = now
		out = append(out, monitor.Value(key("target"), target), monitor.Since(monitor.Value(key("state"), now.name), now.since),
			monitor.Value(key("recovery-seconds"), w.attribute(sessions, name, "recovery_tmo")))
		// A session has one connection: open-iscsi makes a session for each path.
		connection := strings.Replace(name, "session", "connection", 1) + ":0"
		if address := w.attribute(connections, connection, "persistent_address"); address != "" {
			out = append(out, monitor.Value(key("portal"), portalOf(address, w.attribute(connections, connection, "persistent_port"))),
				monitor.Value(key("connection"), w.attribute(connections, connection, "state")))
		}
		for device, state := range w.devices(name) {
			out = append(out, monitor.Value(key("device", device), state))
		}
	}
	w.states = present
	return out, nil
}

func portalOf(address, port string) string {
	if strings.Contains(address, ":") && !strings.HasPrefix(address, "[") {
		address = "[" + address + "]"
	}
	return address + ":" + port
}

// devices are the disks of a session and their states: .../session1/target3:0:0/3:0:0:1/block/sdb.
func (w *watch) devices(session string) map[string]string {
	out := map[string]string{}
	folder := path.Join(sessions, session, "device")
	targets, _ := w.host.ReadDir(folder)
	for _, t := range targets {
		if !strings.HasPrefix(t.Name(), "target") {
			continue
		}
		units, _ := w.host.ReadDir(path.Join(folder, t.Name()))
		for _, u := range units {
			blocks, _ := w.host.ReadDir(path.Join(folder, t.Name(), u.Name(), "block"))
			for _, b := range blocks {
				out[b.Name()] = w.attribute(folder, t.Name(), u.Name(), "state")
			}
		}
	}
	return out
}

// records are the sessions that the machine is to have. A portal is a folder with a file for each
// interface, or in old versions a file.
func (w *watch) records() ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	for _, folder := range recordFolders {
		targets, err := w.host.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			gaps = append(gaps, fmt.Errorf("listing iSCSI records: %w", err))
			continue
		}
		for _, t := range targets {
			portals, err := w.host.ReadDir(path.Join(folder, t.Name()))
			if err != nil {
				gaps = append(gaps, fmt.Errorf("listing iSCSI records: %w", err))
				continue
			}
			for _, p := range portals {
				fields := strings.Split(p.Name(), ",")
				if len(fields) < 2 {
					continue
				}
				startup, err := w.startup(path.Join(folder, t.Name(), p.Name()), p.IsDir())
				if err != nil {
					gaps = append(gaps, err)
					continue
				}
				out = append(out, monitor.Value(snapshot.KeyOf("iscsi", "record", t.Name(), portalOf(fields[0], fields[1])), startup))
			}
		}
	}
	return out, errors.Join(gaps...)
}

// startup is the node.startup of a record; "automatic" if any of its interfaces has that.
func (w *watch) startup(name string, folder bool) (string, error) {
	files := []string{name}
	if folder {
		interfaces, err := w.host.ReadDir(name)
		if err != nil {
			return "", fmt.Errorf("listing an iSCSI record: %w", err)
		}
		files = nil
		for _, i := range interfaces {
			files = append(files, path.Join(name, i.Name()))
		}
	}
	startup := "manual"
	for _, f := range files {
		data, err := w.host.ReadFile(f, fileLimit)
		if err != nil {
			return "", fmt.Errorf("reading an iSCSI record: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(line, "=")
			if strings.TrimSpace(key) == "node.startup" && strings.TrimSpace(value) != "manual" {
				startup = strings.TrimSpace(value)
			}
		}
	}
	return startup, nil
}

func (w *watch) initiator() ([]snapshot.MachineEvidence, error) {
	data, err := w.host.ReadFile("/etc/iscsi/initiatorname.iscsi", fileLimit)
	if err != nil {
		return nil, fmt.Errorf("reading the name of the iSCSI initiator: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "InitiatorName="); found && name != "" {
			return []snapshot.MachineEvidence{monitor.Value("iscsi/initiator-name", name)}, nil
		}
	}
	return nil, nil
}

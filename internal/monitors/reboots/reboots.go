// Package reboots tells when a machine was started, how its earlier boots ended, and what is left of
// a crash. It puts together what the journal, wtmp and its own memory know, for none of them is there
// everywhere.
package reboots

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/journal"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	stored = "reboots"
	// window is the time over which reboots are counted.
	window = 24 * time.Hour
	// maxBoots bounds what is remembered.
	maxBoots = 64
	// maxCrashes bounds what is told of remains of crashes.
	maxCrashes = 8
)

type monitoring struct {
	host monitor.Host
	// ends are how boots ended, by the journal: that does not change any more.
	ends map[journal.ID]boot
	kept string
}

// New returns the monitor of a host's boots.
func New(host monitor.Host) monitor.Monitor {
	m := &monitoring{host: host, ends: map[journal.ID]boot{}}
	return monitor.Monitor{
		Name: "reboots",
		Doc:  "When the machine was started, and how it was stopped before: /proc, the boots in the systemd journal, /var/log/wtmp, and what it remembers itself; what crashes left in /sys/fs/pstore and /var/crash.",
		Keys: []monitor.Key{
			{Pattern: "boot/id", Doc: "the kernel's name of the present boot. At is when it began"},
			{Pattern: "boot/started", Doc: "when the present boot began"},
			{Pattern: "boot/reboots-24h", Doc: "how often the machine was started again within 24 hours"},
			{Pattern: "boot/unclean-24h", Doc: "how many of these starts came without an order to stop before: a crash, a reset, the power"},
			{Pattern: "boot/previous/how", Doc: "how the boot before ended: clean, unclean, unknown. At is when it was last heard of"},
			{Pattern: "boot/previous/started", Doc: "when the boot before began"},
			{Pattern: "boot/previous/last-line", Doc: "the last line that the boot before logged, up to 400 bytes"},
			{Pattern: "boot/journal", Doc: "where the systemd journal is kept: persistent, volatile (in memory, gone with a reboot), none"},
			{Pattern: "boot/crash/*", Doc: "the path of what a crash left: a record of pstore, a dump of kdump. At is when it was written"},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: time.Minute,
		Timeout:  20 * time.Second,
		Observe:  m.observe,
	}
}

func (m *monitoring) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	var errs []error
	present, err := m.present()
	errs = append(errs, err)
	inJournal, err := m.fromJournal(ctx)
	errs = append(errs, err)
	inWtmp, err := m.fromWtmp()
	errs = append(errs, err)
	remembered, err := m.remembered()
	errs = append(errs, err)
	boots := merge(inJournal, inWtmp, remembered)
	if len(inJournal) == 0 && len(inWtmp) == 0 && m.hasWtmpdb() {
		errs = append(errs, errors.New("earlier boots are recorded in /var/lib/wtmpdb only, which is not read: keep the systemd journal on disk"))
	}
	if !present.Started.IsZero() {
		boots = merge(boots, []boot{present})
	}
	errs = append(errs, m.remember(boots))
	out := m.evidence(present, boots)
	if where, err := m.journalPlace(); err == nil {
		out = append(out, monitor.Value("boot/journal", where))
	}
	crashes, err := m.crashes()
	return append(out, crashes...), errors.Join(append(errs, err)...)
}

// present is the boot that runs.
func (m *monitoring) present() (boot, error) {
	var b boot
	id, err := m.host.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		return b, fmt.Errorf("reading the boot's name: %w", err)
	}
	if name, err := journal.ParseID(strings.TrimSpace(string(id))); err == nil {
		b.ID = name.String()
	}
	stat, err := m.host.ReadFile("/proc/stat", 16<<20)
	if err != nil {
		return b, fmt.Errorf("reading when the machine was started: %w", err)
	}
	// Before it comes the line of interrupts, which is as long as the machine is large.
	for line := range bytes.Lines(stat) {
		if seconds, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(seconds)), 10, 64)
			if err != nil {
				return b, fmt.Errorf("reading when the machine was started: %w", err)
			}
			b.Started = time.Unix(n, 0).UTC()
		}
	}
	return b, nil
}

func (m *monitoring) fromJournal(ctx context.Context) ([]boot, error) {
	j := journal.Of(m.host)
	boots, err := j.Boots()
	if errors.Is(err, journal.ErrNone) {
		return nil, nil
	}
	if err != nil && len(boots) == 0 {
		return nil, fmt.Errorf("the boots in the journal cannot be read: %w", err)
	}
	out := make([]boot, 0, len(boots))
	for i, b := range boots[max(0, len(boots)-maxBoots):] {
		if i == min(len(boots), maxBoots)-1 {
			out = append(out, boot{ID: b.ID.String(), Started: b.First})
			break
		}
		ended, ok := m.ends[b.ID]
		if !ok {
			ended = boot{ID: b.ID.String(), Started: b.First, Ended: b.Last, How: unclean}
			lines, err := j.Last(ctx, []journal.Match{{{Name: "_BOOT_ID", Value: b.ID.String()}}}, 30, time.Time{})
			if err != nil {
				return nil, fmt.Errorf("the end of a boot cannot be read from the journal: %w", err)
			}
			if slices.ContainsFunc(lines, stops) {
				ended.How = clean
			}
			if n := len(lines); n > 0 {
				ended.Last = cut(lines[n-1].Message)
			}
			m.ends[b.ID] = ended
		}
		out = append(out, ended)
	}
	return out, nil
}

// stops tells of a line that is only written when the system stops in order.
func stops(l journal.Line) bool {
	switch l.Identifier {
	case "systemd-journald":
		return l.Message == "Journal stopped"
	case "systemd":
		return strings.HasPrefix(l.Message, "Reached target ") && (strings.Contains(l.Message, "hutdown") || strings.Contains(l.Message, "eboot") || strings.Contains(l.Message, "ower-Off") || strings.Contains(l.Message, "ower Off")) ||
			l.Message == "Shutting down."
	case "systemd-logind":
		return strings.HasPrefix(l.Message, "System is ") || strings.HasPrefix(l.Message, "The system will ")
	case "systemd-shutdown":
		return true
	default:
		return false
	}
}

func (m *monitoring) fromWtmp() ([]boot, error) {
	path, err := m.host.Path("/var/log/wtmp")
	if err != nil {
		return nil, err
	}
	marks, err := readWtmp(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // Debian 13 and openSUSE keep wtmpdb instead, beside a journal
	}
	if err != nil {
		return nil, fmt.Errorf("the record of boots cannot be read: %w", err)
	}
	boots := fromMarks(marks)
	// An image may bring the boots of the machine that it was made on; they are older than this one's name.
	if born, ok := m.born(); ok {
		boots = slices.DeleteFunc(boots, func(b boot) bool { return b.Started.Before(born.Add(-sameBoot)) })
	}
	return boots, nil
}

// hasWtmpdb tells of the database that takes wtmp's place on systems that are ready for 2038.
func (m *monitoring) hasWtmpdb() bool {
	path, err := m.host.Path("/var/lib/wtmpdb/wtmp.db")
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// born is when the machine got its name: at its first boot.
func (m *monitoring) born() (time.Time, bool) {
	path, err := m.host.Path("/etc/machine-id")
	if err != nil {
		return time.Time{}, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true
}

func (m *monitoring) remembered() ([]boot, error) {
	data, err := m.host.Load(stored)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	m.kept = string(data)
	var out []boot
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("what was kept of boots cannot be read: %w", err)
	}
	return out, nil
}

func (m *monitoring) remember(boots []boot) error {
	kept := slices.Clone(boots[max(0, len(boots)-maxBoots):])
	for i := range kept {
		kept[i].Last = ""
	}
	data, err := json.Marshal(kept)
	if err != nil || string(data) == m.kept {
		return err
	}
	if err := m.host.Save(stored, data); err != nil {
		return fmt.Errorf("keeping what is known of boots: %w", err)
	}
	m.kept = string(data)
	return nil
}

func (m *monitoring) evidence(present boot, boots []boot) []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	if i := slices.IndexFunc(boots, func(b boot) bool { return present.ID != "" && b.ID == present.ID }); i >= 0 {
		out = append(out, monitor.Since(monitor.Value("boot/id", present.ID), boots[i].Started))
	}
	if len(boots) == 0 {
		return out
	}
	last := boots[len(boots)-1]
	out = append(out, monitor.Moment("boot/started", last.Started))
	again, crashed := 0, 0
	for i, b := range boots {
		if i == 0 || m.host.Now().Sub(b.Started) > window {
			continue
		}
		again++
		if boots[i-1].How == unclean {
			crashed++
		}
	}
	out = append(out, monitor.Int("boot/reboots-24h", again), monitor.Int("boot/unclean-24h", crashed))
	if len(boots) < 2 {
		return out
	}
	before := boots[len(boots)-2]
	if before.How == "" {
		before.How = unknown
	}
	out = append(out, monitor.Since(monitor.Value("boot/previous/how", string(before.How)), before.Ended), monitor.Moment("boot/previous/started", before.Started))
	if before.Last != "" {
		out = append(out, monitor.Value("boot/previous/last-line", before.Last))
	}
	return out
}

func (m *monitoring) journalPlace() (string, error) {
	persistent, err := journal.Of(m.host).Persistent()
	switch {
	case errors.Is(err, journal.ErrNone):
		return "none", nil
	case persistent:
		return "persistent", nil
	case err != nil:
		return "", err
	default:
		return "volatile", nil
	}
}

// crashes are what the kernel or kdump wrote down when it went under.
func (m *monitoring) crashes() ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var errs []error
	for _, folder := range []string{"/sys/fs/pstore", "/var/lib/systemd/pstore", "/var/crash", "/var/lib/kdump"} {
		entries, err := m.host.ReadDir(folder)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("%s cannot be read: %w", folder, err))
			}
			continue
		}
		for _, e := range entries {
			if len(out) >= maxCrashes || strings.HasPrefix(e.Name(), ".") || folder == "/var/crash" && !isDump(e) {
				continue
			}
			info, err := e.Info()
			if err != nil {
				continue // gone meanwhile
			}
			path := folder + "/" + e.Name()
			out = append(out, monitor.Since(monitor.Value(snapshot.KeyOf("boot", "crash", path), path), info.ModTime()))
		}
	}
	return out, errors.Join(errs...)
}

// isDump tells of kdump's folders, which are named by a time: beside them apport keeps reports of
// programs.
func isDump(e fs.DirEntry) bool {
	return e.IsDir() && len(e.Name()) >= len("202611211000") && strings.Trim(e.Name(), "0123456789-.:T") == "" || strings.HasPrefix(e.Name(), "vmcore")
}

const maxLine = 400

func cut(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return strings.ToValidUTF8(line[:maxLine], "") + "…"
}

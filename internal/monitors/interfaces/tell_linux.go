package interfaces

import (
	"errors"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// fileLimit bounds what is read of a file of /sys, in bytes.
	fileLimit = 4 << 10
	// bondLimit bounds what is read of a file of /proc/net/bonding: some 500 bytes a member.
	bondLimit = 64 << 10
	// errorWindow is over how long errors are compared with packets.
	errorWindow = 3 * time.Minute
	// lossWindow is over how long lost links are counted.
	lossWindow = 10 * time.Minute
)

// count is what an interface had counted at a look.
type count struct {
	at                      time.Time
	packets, errors, losses uint64
}

// tell gives all that is known of an interface.
func (w *watch) tell(l *look, link netlink.Link) ([]snapshot.MachineEvidence, error) {
	a := link.Attrs()
	key := func(words ...string) snapshot.EvidenceKey {
		return snapshot.KeyOf(append([]string{"interface", a.Name}, words...)...)
	}
	enabled := a.Flags&net.FlagUp != 0
	out := []snapshot.MachineEvidence{
		monitor.Value(key("type"), link.Type()),
		w.since(key("state"), a.OperState.String()),
		monitor.Bool(key("enabled"), enabled),
		w.since(key("carrier"), strconv.FormatBool(a.Flags&net.FlagRunning != 0)),
		monitor.Int(key("mtu"), a.MTU),
		monitor.Value(key("mac"), a.HardwareAddr.String()),
		monitor.Value(key("addresses"), l.told(a.Index)),
	}
	if l.defaults[a.Index] {
		out = append(out, monitor.Bool(key("default-route"), true))
	}
	if master := l.names[a.MasterIndex]; a.MasterIndex != 0 && master != "" {
		out = append(out, monitor.Value(key("master"), master))
	}
	// Drivers refuse to say the speed of a link that is down, and say -1 where there is none.
	if speed, err := strconv.Atoi(w.attribute(a.Name, "speed")); err == nil && speed > 0 {
		out = append(out, monitor.Int(key("speed"), speed))
	}
	if duplex := w.attribute(a.Name, "duplex"); duplex == "full" || duplex == "half" {
		out = append(out, monitor.Value(key("duplex"), duplex))
	}
	out = append(out, w.counted(link, key)...)
	switch link.Type() {
	case "bridge":
		ports := 0
		for _, other := range l.links {
			if other.Attrs().MasterIndex == a.Index {
				ports++
			}
		}
		out = append(out, monitor.Int(key("ports"), ports))
	case "bond":
		members, err := w.bond(a.Name, key)
		return append(out, members...), err
	}
	return out, nil
}

// told are the addresses of an interface.
func (l *look) told(index int) string {
	var out []string
	for _, a := range l.addresses[index] {
		out = append(out, a.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// attribute is a file of an interface in /sys; empty where its driver does not say.
func (w *watch) attribute(name, file string) string {
	data, err := w.host.ReadFile(path.Join("/sys/class/net", name, file), fileLimit)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// counted tells the counters of an interface, and how they grew.
func (w *watch) counted(link netlink.Link, key func(...string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	s := link.Attrs().Statistics
	if s == nil {
		return nil
	}
	out := []snapshot.MachineEvidence{
		monitor.Int(key("rx-packets"), s.RxPackets), monitor.Int(key("tx-packets"), s.TxPackets),
		monitor.Int(key("rx-errors"), s.RxErrors), monitor.Int(key("tx-errors"), s.TxErrors),
		monitor.Int(key("rx-dropped"), s.RxDropped), monitor.Int(key("tx-dropped"), s.TxDropped),
	}
	name := link.Attrs().Name
	now := count{at: w.host.Now(), packets: s.RxPackets + s.TxPackets, errors: s.RxErrors + s.TxErrors}
	losses, err := strconv.ParseUint(w.attribute(name, "carrier_down_count"), 10, 64)
	if err == nil {
		now.losses = losses
		out = append(out, monitor.Int(key("carrier-losses"), losses))
	}
	counts := slices.Concat(w.counts[name], []count{now})
	// An interface that is made anew under its name counts from zero.
	if len(counts) > 1 && (now.packets < counts[len(counts)-2].packets || now.losses < counts[len(counts)-2].losses) {
		counts = counts[len(counts)-1:]
	}
	for len(counts) > 1 && now.at.Sub(counts[1].at) >= lossWindow {
		counts = counts[1:]
	}
	w.counts[name] = counts
	if err == nil {
		out = append(out, monitor.Int(key("carrier-losses-recent"), losses-counts[0].losses))
	}
	if len(counts) < 2 {
		return out
	}
	from := counts[max(0, slices.IndexFunc(counts, func(c count) bool { return now.at.Sub(c.at) <= errorWindow }))]
	failed := now.errors - min(from.errors, now.errors)
	if total := now.packets - from.packets + failed; total > 0 {
		out = append(out, monitor.Float(key("error-share"), float64(failed*10000/total)/10000), monitor.Int(key("errors-new"), failed))
	}
	return out
}

// bond tells of a bond's members (Documentation/networking/bonding.rst, /proc/net/bonding).
func (w *watch) bond(name string, key func(...string) snapshot.EvidenceKey) ([]snapshot.MachineEvidence, error) {
	data, err := w.host.ReadFile(path.Join("/proc/net/bonding", name), bondLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []snapshot.MachineEvidence
	member := ""
	for line := range strings.Lines(string(data)) {
		word, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case !ok:
		case word == "Bonding Mode":
			out = append(out, monitor.Value(key("bond-mode"), value))
		case word == "Slave Interface":
			member = value
		case word == "MII Status" && member != "":
			out = append(out, w.since(key("bond-member", member), value))
		}
	}
	return out, nil
}

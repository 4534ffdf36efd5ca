package storage

import (
	"slices"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "MultipathPathsLost",
	Title: finding.Text{EN: "multipath device has lost paths", KO: "multipath 장치가 경로를 잃었습니다"},
	Doc: finding.Text{
		EN: "Some of the paths to a unit of storage cannot be used; the others carry it. The next loss may stop it. Which paths, and the adapters or addresses by which they went, is told. Devices that have all the paths that they were " +
			"seen with, and those that have none left (MultipathNoPath), are left alone.",
		KO: "스토리지로 가는 경로 일부를 쓸 수 없어 나머지 경로로 동작합니다. 경로를 더 잃으면 멈출 수 있습니다. 어느 경로인지와 그 어댑터 또는 주소를 알려 줍니다. 확인된 모든 경로를 쓸 수 있는 장치와 경로가 하나도 남지 않은 장치(MultipathNoPath)는 대상이 아닙니다.",
	},
	Link:     "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/configuring_device_mapper_multipath/index",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"multipath/map/*/*", "multipath/map/*/path/*", "multipath/map/*/host/*"},
	Causes: []rule.Cause{
		{Code: "IscsiSessionFailed", Via: rule.OnMachine, Holds: explainsPath},
		{Code: "IscsiSessionMissing", Via: rule.OnMachine},
	},
	Detect: func(p *rule.Pass) {
		for _, d := range multipathDevices(p) {
			if d.usable < d.seen && d.usable > 0 {
				p.Report(d.degraded())
			}
		}
	},
})

var _ = Catalog.Add(rule.Rule{
	Code:  "MultipathNoPath",
	Title: finding.Text{EN: "multipath device has no path left", KO: "multipath 장치에 남은 경로가 없습니다"},
	Doc: finding.Text{
		EN: "None of the paths to a unit of storage can be used. Where the device queues (queue_if_no_path, no_path_retry) reads and writes wait, for good perhaps, and who waits cannot be ended; else they fail and file systems become " +
			"read-only. Devices with a usable path are left alone.",
		KO: "스토리지로 가는 경로를 하나도 쓸 수 없습니다. 장치가 queue하도록 설정되어 있으면(queue_if_no_path, no_path_retry) 읽기와 쓰기가 끝없이 기다릴 수 있고 기다리는 프로세스를 종료할 수 없습니다. 아니면 실패하여 파일시스템이 읽기 전용이 됩니다. " +
			"쓸 수 있는 경로가 있는 장치는 대상이 아닙니다.",
	},
	Link:     "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/configuring_device_mapper_multipath/index",
	Severity: finding.Critical,
	Machine:  []snapshot.EvidenceKey{"multipath/map/*/*", "multipath/map/*/path/*", "multipath/map/*/host/*"},
	Causes: []rule.Cause{
		{Code: "IscsiSessionFailed", Via: rule.OnMachine, Holds: explainsPath},
		{Code: "IscsiSessionMissing", Via: rule.OnMachine},
	},
	Detect: func(p *rule.Pass) {
		for _, d := range multipathDevices(p) {
			if d.usable == 0 && d.seen > 0 {
				p.Report(d.cut())
			}
		}
	},
})

// multipathDevice is a multipath device of a machine.
type multipathDevice struct {
	snapshot.Machine
	name         string
	usable, seen int64
}

func multipathDevices(p *rule.Pass) []multipathDevice {
	var out []multipathDevice
	for _, m := range p.Machines() {
		for _, name := range m.Names("multipath/map/*/*") {
			d := multipathDevice{Machine: m, name: name}
			var ok1, ok2 bool
			d.usable, ok1 = m.Int(d.key("usable"))
			d.seen, ok2 = m.Int(d.key("paths-seen"))
			if ok1 && ok2 {
				out = append(out, d)
			}
		}
	}
	return out
}

func (d multipathDevice) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("multipath", "map", d.name, word)
}

// working are the states of paths that carry data (libmultipath/checkers.c); a ghost takes over when
// the storage is told to.
var working = []string{"ready", "running", "ghost", "delayed", ""}

// lost lists the paths that cannot be used, with what they went by, and the evidence for each.
func (d multipathDevice) lost() (paths []string, evidence []finding.Evidence) {
	for _, e := range d.Select(snapshot.KeyOf("multipath", "map", d.name, "path") + "/*") {
		if slices.Contains(working, e.Value) {
			continue
		}
		name := e.Key.Segments()[4]
		if host := d.Value(snapshot.KeyOf("multipath", "map", d.name, "host", name)); host != "" {
			name += " (" + host + ")"
		}
		paths = append(paths, name+" "+e.Value)
		evidence = append(evidence, d.Evidence(e.Key))
	}
	return paths, evidence
}

func (d multipathDevice) report(why ...finding.Text) finding.Finding {
	paths, evidence := d.lost()
	if len(paths) > 0 {
		why = append([]finding.Text{finding.Format("Not usable: %s.", "쓸 수 없는 경로: %s.", finding.List(paths))}, why...)
	} else {
		why = append([]finding.Text{finding.Textf("It had %d paths.", "경로가 %d개 있었습니다.", d.seen)}, why...)
	}
	return finding.Finding{
		Subject: d.Subject("MultipathDevice", d.name), Since: d.Since(d.key("usable")),
		Why:      finding.Join(" ", why...),
		Evidence: append([]finding.Evidence{d.Evidence(d.key("usable")), d.Evidence(d.key("paths-seen"))}, evidence...),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "which paths, and what the kernel says of them", KO: "경로의 상태와 커널 메시지를 확인합니다"}, Command: "multipath -ll " + finding.ShellWord(d.name) + "; iscsiadm -m session 2>/dev/null; dmesg -T | grep -iE 'multipath|iscsi|rport|sd ' | tail -20", Machine: d.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "take paths over separate adapters, switches and portals, and watch their number", KO: "경로를 서로 다른 어댑터, 스위치, portal로 나누고 그 수를 감시합니다"}}},
		},
	}
}

func (d multipathDevice) degraded() finding.Finding {
	f := d.report(finding.Text{EN: "The others carry the data; nothing is lost yet.", KO: "나머지 경로로 동작하며 아직 잃은 것은 없습니다."})
	f.Mechanism = v1alpha1.MechanismDegraded
	f.Title = finding.Textf("machine %s: multipath device %s has %d of %d paths left", "머신 %s: multipath 장치 %s 경로가 %[4]d개 중 %[3]d개만 남았습니다", d.Node(), d.name, d.usable, d.seen)
	return f
}

func (d multipathDevice) cut() finding.Finding {
	why := finding.Text{EN: "Reads and writes fail; file systems on it become read-only.", KO: "읽기와 쓰기가 실패하고 파일시스템이 읽기 전용이 됩니다."}
	if d.True(d.key("queues")) {
		why = finding.Text{EN: "It queues: reads and writes wait until a path comes back, and who waits cannot be ended.", KO: "queue하도록 설정되어 있어 경로가 돌아올 때까지 읽기와 쓰기가 기다리며 기다리는 프로세스를 종료할 수 없습니다."}
	}
	f := d.report(why)
	f.Mechanism = v1alpha1.MechanismUnreachable
	f.Title = finding.Textf("machine %s: multipath device %s has no path left", "머신 %s: multipath 장치 %s에 남은 경로가 없습니다", d.Node(), d.name)
	return f
}

// explainsPath tells whether a lost iSCSI session brought one of the disks whose paths are lost.
func explainsPath(s *snapshot.Snapshot, effect, cause finding.Finding) bool {
	m, ok := s.Machine(effect.Subject.Machine)
	if !ok {
		return false
	}
	lost := map[string]bool{}
	for _, e := range m.Select(snapshot.KeyOf("multipath", "map", effect.Subject.Name, "path") + "/*") {
		lost[e.Key.Segments()[4]] = !slices.Contains(working, e.Value)
	}
	for _, session := range iscsiSessions(m) {
		if session.target()+" "+m.Value(session.key("portal")) != cause.Subject.Name {
			continue
		}
		for _, e := range m.Select(snapshot.KeyOf("iscsi", "session", session.name, "device") + "/*") {
			if lost[e.Key.Segments()[4]] {
				return true
			}
		}
	}
	return false
}

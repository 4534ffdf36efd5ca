package storage

import (
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "IscsiSessionFailed",
	Title: finding.Text{EN: "iSCSI session is broken", KO: "iSCSI session이 끊어졌습니다"},
	Doc: finding.Text{
		EN: "A session of the machine to an iSCSI target has lost its connection and tries to log in again: its portal, or the way to it, is gone. Reads and writes on its disks wait for the session's recovery time and then fail. It is critical where no " +
			"other session leads to the same target; with another, and multipath, only redundancy is lost. Sessions that are logged in, and records without a session (IscsiSessionMissing), are left alone.",
		KO: "iSCSI target으로 가는 머신의 session이 연결을 잃고 다시 로그인하려 합니다. portal 또는 그 경로가 사라졌습니다. 해당 디스크의 읽기와 쓰기는 복구 시간 동안 기다린 뒤 실패합니다. 같은 target으로 가는 다른 session이 없으면 critical이며, 다른 session과 multipath가 있으면 이중화만 " +
			"잃습니다. 로그인된 session과 session이 없는 record(IscsiSessionMissing)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#iscsi",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{"iscsi/session/*/*", "iscsi/session/*/device/*"},
	Detect:  detectIscsiSessionFailed,
})

// iscsiSession is a session of a machine.
type iscsiSession struct {
	snapshot.Machine
	name string
}

func iscsiSessions(m snapshot.Machine) []iscsiSession {
	var out []iscsiSession
	for _, e := range m.Select("iscsi/session/*/*") {
		if s := e.Key.Segments(); s[3] == "target" {
			out = append(out, iscsiSession{m, s[2]})
		}
	}
	return out
}

func (s iscsiSession) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("iscsi", "session", s.name, word)
}

func (s iscsiSession) target() string { return s.Value(s.key("target")) }

// place is what the session leads to.
func (s iscsiSession) place() string { return s.target() + " " + s.Value(s.key("portal")) }

// works tells whether the session is logged in and its connection is up.
func (s iscsiSession) works() bool {
	connection := s.Value(s.key("connection"))
	return s.Value(s.key("state")) == "LOGGED_IN" && (connection == "" || connection == "up")
}

func detectIscsiSessionFailed(p *rule.Pass) {
	for _, m := range p.Machines() {
		all := iscsiSessions(m)
		// Sessions to one portal, over one interface each, are told of together.
		told := map[string]bool{}
		for _, s := range all {
			if s.works() || told[s.place()] {
				continue
			}
			told[s.place()] = true
			others := 0
			for _, o := range all {
				if o.target() == s.target() && o.works() {
					others++
				}
			}
			p.Report(iscsiSessionFailed(s, others))
		}
	}
}

func iscsiSessionFailed(s iscsiSession, others int) finding.Finding {
	portal := s.Value(s.key("portal"))
	f := finding.Finding{
		Subject: s.Subject("IscsiSession", s.place()), Mechanism: v1alpha1.MechanismUnreachable, Since: s.Since(s.key("state")),
		Title: finding.Textf("machine %s: the iSCSI session to %s at %s is broken", "머신 %s: %s target의 portal %s iSCSI session이 끊어졌습니다", s.Node(), s.target(), portal),
		Why: finding.Textf("It is %s, its connection %s; reads and writes wait up to %s s for it.", "session 상태는 %s, 연결 상태는 %s이며 읽기와 쓰기가 최대 %s초 동안 기다립니다.",
			s.Value(s.key("state")), s.Value(s.key("connection")), s.Value(s.key("recovery-seconds"))),
		Evidence: []finding.Evidence{s.Evidence(s.key("state")), s.Evidence(s.key("connection")), s.Evidence(s.key("portal"))},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "what the initiator says, and whether the portal answers", KO: "initiator의 상태와 portal의 응답을 확인합니다"}, Command: "iscsiadm -m session -P 1; nc -zvw3 " + hostAndPort(portal), Machine: s.Node()},
				{Text: finding.Text{EN: "the way there: its interface and MTU", KO: "경로의 인터페이스와 MTU를 확인합니다"}, Command: "ip route get " + finding.ShellWord(hostOf(portal)) + "; ip -s link", Machine: s.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{EN: "reach every target through two portals over two networks, with multipath", KO: "모든 target을 두 네트워크의 두 portal로 연결하고 multipath를 사용합니다"}}},
		},
	}
	var disks []string
	for _, e := range s.Select(snapshot.KeyOf("iscsi", "session", s.name, "device") + "/*") {
		disks = append(disks, e.Key.Segments()[4])
		f.Evidence = append(f.Evidence, s.Evidence(e.Key))
	}
	if len(disks) > 0 {
		f.Why = finding.Join(" ", f.Why, finding.Format("Its disks: %s.", "해당 디스크: %s.", finding.List(disks)))
	}
	if others == 0 {
		f.Severity = finding.Critical
		f.Why = finding.Join(" ", f.Why, finding.Text{EN: "No other session leads to that target.", KO: "이 target으로 가는 다른 session이 없습니다."})
	} else {
		f.Why = finding.Join(" ", f.Why, finding.Textf("%d other session(s) to that target work.", "이 target의 다른 session %d개는 정상입니다.", others))
	}
	return f
}

// hostOf and hostAndPort take a portal apart: 10.0.0.1:3260, [fd00::9]:3260.
func hostOf(portal string) string {
	i := strings.LastIndex(portal, ":")
	if i < 0 {
		return portal
	}
	return strings.Trim(portal[:i], "[]")
}

func hostAndPort(portal string) string {
	i := strings.LastIndex(portal, ":")
	if i < 0 {
		return finding.ShellWord(portal)
	}
	return finding.ShellWord(hostOf(portal)) + " " + finding.ShellWord(portal[i+1:])
}

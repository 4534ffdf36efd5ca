package etcd

import (
	"cmp"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// loss is why a member is gone, as far as machines tell.
type loss struct {
	why       finding.Text
	evidence  []finding.Evidence
	mechanism finding.Mechanism
	since     time.Time
	remedies  []finding.Remedy
	// on are the things on the machine that the member cannot run without: a finding about one of them
	// says why it does not.
	on []finding.Subject
}

// fullDisk is below how many free bytes a disk is full for etcd: its write-ahead log grows by segments of
// 64 MB (go.etcd.io/etcd/server/storage/wal/wal.go, SegmentSizeBytes).
const fullDisk = 64 << 20

// lossOf says why a member is gone: by what its own machine tells, else by what others see of it.
func (c *etcdCluster) lossOf(p *rule.Pass, m etcdMember) loss {
	if m.name == "" {
		return loss{
			why: finding.Text{EN: "it was added and never started", KO: "추가된 뒤 한 번도 시작되지 않았습니다"}, mechanism: "missing",
			evidence: []finding.Evidence{c.from[0].Evidence(c.key(c.from[0], m, "peer-urls"))},
			remedies: []finding.Remedy{{Text: finding.Textf("start the member at %s, with --initial-cluster-state=existing", "%s의 member를 --initial-cluster-state=existing으로 시작합니다", m.host)}},
		}
	}
	for _, from := range c.from {
		if from.Node() == m.node {
			return lossAtHome(p.Now(), from)
		}
	}
	if l, ok := lossOfMachine(p, m); ok {
		return l
	}
	return c.lossFromAfar(p.Now(), m)
}

// lossAtHome is what the member's machine tells.
func lossAtHome(now time.Time, on snapshot.Machine) loss {
	l := loss{mechanism: mechanismOf(on.Value("etcd/local/answer")), since: on.Since("etcd/local/answer")}
	if on.Value("etcd/local/answer") != "" {
		l.evidence = append(l.evidence, on.Evidence("etcd/local/answer"))
	}
	if full, ok := diskOf(on); ok {
		l.why, l.mechanism = sinceThen(now, l.since, full.why), full.mechanism
		l.evidence = append(l.evidence, full.evidence...)
		l.on = []finding.Subject{on.Subject("Path", full.path)}
		l.remedies = []finding.Remedy{{
			Text:    finding.Text{EN: "see what fills it and free space there", KO: "무엇이 채우고 있는지 확인하고 공간을 확보합니다"},
			Command: "df -h " + finding.ShellWord(full.path) + "; du -xh --max-depth=2 " + finding.ShellWord(full.path) + " | sort -h | tail -n 20", Machine: on.Node(),
		}}
		return l
	}
	if on.Value("etcd/local/source") == "kube-apiserver" {
		l.why, l.mechanism = finding.Text{EN: "no etcd is configured there any more: its manifest or unit is gone", KO: "etcd의 manifest 또는 유닛이 없어 더 이상 구성되어 있지 않습니다"}, "missing"
		l.evidence = append(l.evidence, on.Evidence("etcd/local/source"))
		l.on = []finding.Subject{on.Subject("File", manifest), on.Subject("Unit", "etcd.service")}
		l.remedies = []finding.Remedy{{
			Text:    finding.Text{EN: "put the manifest back; the kubelet starts it by itself", KO: "manifest를 되돌립니다. kubelet이 바로 시작합니다"},
			Command: "ls -l " + finding.ShellWord(manifest) + " /etc/kubernetes/", Machine: on.Node(),
		}}
		return l
	}
	l.on = []finding.Subject{on.Subject("File", on.Value("etcd/local/path")), on.Subject("Unit", "etcd.service")}
	for _, mount := range etcdMounts(on) {
		l.on = append(l.on, on.Subject("Path", mount))
	}
	state := on.Value("etcd/local/process-state")
	if state != "" {
		l.evidence = append(l.evidence, on.Evidence("etcd/local/process-state"))
	}
	look := finding.Remedy{
		Text:    finding.Text{EN: "see how it ended", KO: "어떻게 종료되었는지 확인합니다"},
		Command: "crictl ps -a --name etcd; crictl logs --tail 20 $(crictl ps -aq --name etcd | head -n 1)", Machine: on.Node(),
	}
	if on.Value("etcd/local/source") == "unit" {
		look.Command = "systemctl status etcd; journalctl -u etcd -n 20 --no-pager"
	}
	switch state {
	case "none":
		l.why, l.mechanism = finding.Text{EN: "its process does not run", KO: "프로세스가 실행되고 있지 않습니다"}, "stopped"
	case "T":
		l.why, l.mechanism = finding.Text{EN: "its process is stopped by a signal (SIGSTOP)", KO: "프로세스가 signal(SIGSTOP)로 정지되어 있습니다"}, "hung"
		look = finding.Remedy{Text: finding.Text{EN: "let it go on", KO: "프로세스를 재개합니다"}, Command: "pkill -CONT -x etcd", Machine: on.Node()}
	case "D":
		l.why, l.mechanism = finding.Text{EN: "its process waits for the disk and does not come back", KO: "프로세스가 디스크 응답을 기다리며 멈춰 있습니다"}, "hung"
		look = finding.Remedy{Text: finding.Text{EN: "see what the kernel says of the disk", KO: "디스크에 대한 커널 로그를 확인합니다"}, Command: "dmesg -T | tail -n 30; cat /proc/pressure/io", Machine: on.Node()}
	default:
		l.why = words(on.Value("etcd/local/answer"), on.Value("etcd/local/error"))
	}
	l.why = sinceThen(now, l.since, l.why)
	for _, k := range []snapshot.EvidenceKey{"component/etcd/last-error", "unit/etcd.service/last-error"} {
		// The last line of one that was stopped, or waits, says nothing of that.
		if line := on.Value(k); line != "" && state == "none" {
			l.why = finding.Join("; ", l.why, finding.Textf("its log ends: %s", "로그의 마지막 오류: %s", finding.Quote(line)))
			l.evidence = append(l.evidence, on.Evidence(k))
			break
		}
	}
	l.remedies = []finding.Remedy{look}
	return l
}

// sinceThen adds since when something is so, where that is known.
func sinceThen(now, since time.Time, what finding.Text) finding.Text {
	if since.IsZero() {
		return what
	}
	return finding.Format("%s since %s", "%s(%s부터)", what, finding.Verbatim(finding.Clock(now, since)))
}

// disk is what is wrong with the file system of etcd's data.
type disk struct {
	path      string
	why       finding.Text
	mechanism finding.Mechanism
	evidence  []finding.Evidence
}

// etcdMounts are where the file systems are mounted that hold etcd's data.
func etcdMounts(on snapshot.Machine) []string {
	var out []string
	for _, e := range on.Select("filesystem/*/holds/*") {
		if e.Value == "etcd" {
			out = append(out, e.Key.Segments()[1])
		}
	}
	return out
}

func diskOf(on snapshot.Machine) (disk, bool) {
	for _, mount := range etcdMounts(on) {
		key := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("filesystem", mount, what) }
		if on.True(key("read-only")) {
			return disk{
				mount, finding.Textf("etcd cannot write, %s is mounted read-only", "%s 파일시스템이 read-only여서 etcd가 쓸 수 없습니다", mount), "failing",
				[]finding.Evidence{on.Evidence(key("read-only"))},
			}, true
		}
		free, known := on.Int(key("free-bytes"))
		total, _ := on.Int(key("total-bytes"))
		// A disk of less than the bound is small on purpose.
		if known && total > fullDisk && free < fullDisk {
			const whole = 100
			return disk{
				mount, finding.Textf("etcd cannot write, %s is full (%d %%)", "%s 파일시스템이 가득 차서(%d %%) etcd가 쓸 수 없습니다", mount, whole-free*whole/total), "exhausted",
				[]finding.Evidence{on.Evidence(key("free-bytes"))},
			}, true
		}
	}
	return disk{}, false
}

// lossOfMachine is what the mesh says of a machine that gives no report.
func lossOfMachine(p *rule.Pass, m etcdMember) (loss, bool) {
	if m.node == "" {
		return loss{}, false
	}
	l := loss{mechanism: "unreachable", on: []finding.Subject{{Kind: "Machine", Name: m.node, Machine: m.node}}}
	var seenBy []string
	for _, from := range p.Machines() {
		k := snapshot.KeyOf("mesh", "peer", m.node, "host-tcp")
		if v := from.Value(k); v == "" || from.Node() == m.node {
			continue
		} else if v == "ok" {
			return loss{}, false
		}
		seenBy = append(seenBy, from.Node())
		l.since = finding.Earlier(l.since, from.Since(k))
		l.evidence = append(l.evidence, from.Evidence(k))
	}
	if len(seenBy) == 0 {
		return loss{}, false
	}
	l.why = finding.Format("machine does not answer (seen by %s)", "머신이 응답하지 않습니다(%s에서 확인)", finding.List(seenBy))
	if !l.since.IsZero() {
		l.why = finding.Format("machine does not answer since %s (seen by %s)", "%s부터 머신이 응답하지 않습니다(%s에서 확인)", finding.Verbatim(finding.Clock(p.Now(), l.since)), finding.List(seenBy))
	}
	l.remedies = []finding.Remedy{{Text: finding.Textf("bring the machine %s back: its console, power and network", "머신 %s의 콘솔, 전원, 네트워크를 확인하고 복구합니다", m.node)}}
	return l, true
}

// lossFromAfar is what other machines see of the member.
func (c *etcdCluster) lossFromAfar(now time.Time, m etcdMember) loss {
	l := loss{mechanism: "unreachable"}
	var seenBy []string
	for _, from := range c.from {
		k := c.key(from, m, "answer")
		word := from.Value(k)
		if word == "" || word == answered {
			continue
		}
		if len(seenBy) == 0 {
			l.why, l.mechanism = words(word, from.Value(c.key(from, m, "error"))), mechanismOf(word)
		}
		seenBy = append(seenBy, from.Node())
		l.since = finding.Earlier(l.since, from.Since(k))
		l.evidence = append(l.evidence, from.Evidence(k))
		if e := c.key(from, m, "error"); from.Value(e) != "" {
			l.evidence = append(l.evidence, from.Evidence(e))
		}
	}
	seen := finding.List(seenBy)
	if l.since.IsZero() {
		l.why = finding.Format("%s (seen by %s)", "%s(%s에서 확인)", l.why, seen)
	} else {
		l.why = finding.Format("%[1]s since %[3]s (seen by %[2]s)", "%s(%s에서 확인, %s부터)", l.why, seen, finding.Verbatim(finding.Clock(now, l.since)))
	}
	l.remedies = []finding.Remedy{{Text: finding.Text{EN: "diagnose the machine itself, as root", KO: "해당 머신에서 root로 진단합니다"}, Command: "kubectl-maek machine", Machine: cmp.Or(m.node, m.host)}}
	return l
}

// words say how a member answers.
func words(answer, reason string) finding.Text {
	at := ""
	if _, dialled, ok := strings.Cut(reason, "dial tcp "); ok {
		at, _, _ = strings.Cut(dialled, ": ")
	}
	switch answer {
	case "refused":
		if at != "" {
			return finding.Textf("nothing listens on %s", "%s에서 listen하는 프로세스가 없습니다", at)
		}
		return finding.Text{EN: "nothing listens there", KO: "listen하는 프로세스가 없습니다"}
	case "unreachable":
		return finding.Text{EN: "no answer comes back", KO: "응답이 돌아오지 않습니다"}
	case "hung":
		return finding.Text{EN: "it takes connections and does not answer", KO: "연결은 되지만 응답하지 않습니다"}
	case "certificate":
		return finding.Textf("the TLS handshake fails: %s", "TLS handshake가 실패합니다: %s", finding.Quote(reason))
	default:
		return finding.Textf("it answers with an error: %s", "오류로 응답합니다: %s", finding.Quote(reason))
	}
}

func mechanismOf(answer string) finding.Mechanism {
	switch answer {
	case "refused":
		return "stopped"
	case "hung":
		return "hung"
	case "unreachable":
		return "unreachable"
	case "certificate", "denied":
		return "unauthorized"
	default:
		return "failing"
	}
}

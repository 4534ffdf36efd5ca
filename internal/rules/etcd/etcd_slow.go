package etcd

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdSlow",
	Title: finding.Text{EN: "etcd is slow", KO: "etcd가 느립니다"},
	Doc: finding.Text{
		EN: "etcd says in its log that applying requests, writing to its disk or sending heartbeats took too long, or that its leader changed. Every write waits for it: Leases come late, the controller manager and the " +
			"scheduler lose them and start again, and reads time out. Most often the disk is shared or slow, or the processor is. Its log is read only when something shows for it: reads that failed on etcd, or both leaders of " +
			"the control plane that ended within the last half hour. A few such lines are normal when etcd starts or compacts.",
		KO: "etcd 로그에 요청 적용, 디스크 쓰기, heartbeat 전송이 너무 오래 걸렸거나 leader가 바뀌었다는 기록이 있습니다. 모든 쓰기가 지연되어 Lease 갱신이 늦어지고, controller manager와 scheduler가 Lease를 잃어 다시 시작하며, " +
			"읽기 요청도 시간이 초과됩니다. 대개 디스크를 공유하거나 디스크 또는 CPU가 느린 경우입니다. etcd 때문에 실패한 읽기가 있거나 최근 30분 안에 control plane의 두 leader가 종료된 경우에만 로그를 확인합니다. " +
			"시작이나 compaction 중에 몇 줄 나오는 것은 정상입니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/tuning/#disk",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Pod](), rule.Optional[*coordinationv1.Lease]()},
	Machine:  []snapshot.EvidenceKey{"etcd/metrics/*"},
	Causes:   []rule.Cause{{Code: "EtcdSlowDisk", Via: rule.Itself}},
	Detect:   detectEtcdSlow,
})

// slowWords are what etcd says when it is too slow or has changed its leader (go.etcd.io/etcd/server:
// etcdserver/txn/util.go, WarnOfExpensiveRequest; storage/wal/wal.go, warnSyncDuration;
// etcdserver/raft.go; go.etcd.io/raft, logger).
var slowWords = []string{
	"apply request took too long", "slow fdatasync", "leader failed to send out heartbeat on time", "lost leader", "elected leader", "waiting for ReadIndex response took too long",
}

const (
	// window is how old a line may be to tell of the present.
	window = 15 * time.Minute
	// telling is the number of such lines from which etcd is called slow.
	telling = 5
	// slowRequest is what a request must take to tell of trouble. etcd writes of all that take 100 ms
	// (go.etcd.io/etcd/server/etcdserver/txn/util.go), which a busy machine does now and then and no
	// leader minds.
	slowRequest = 500 * time.Millisecond
	// lately is how long ago a leader's end may be to be a reason to ask.
	lately = 30 * time.Minute
)

func detectEtcdSlow(p *rule.Pass) {
	why, ok := suspicious(p)
	if !ok {
		return
	}
	pods := members(p.Snapshot)
	unread := 0
	for _, pod := range pods {
		text, ok := logOf(p, pod, "etcd")
		if !ok {
			unread++
			continue
		}
		lines, first := slowLines(text, p.Now())
		if len(lines) < telling {
			continue
		}
		last := lines[len(lines)-1]
		f := finding.Finding{
			Subject:   finding.Subject{Kind: "EtcdMember", Name: pod.Spec.NodeName, Machine: pod.Spec.NodeName},
			Mechanism: v1alpha1.MechanismDegraded, Since: first, Confidence: v1alpha1.ConfidenceMedium,
			Title: finding.Textf("etcd on %s is slow: %d such lines in its log within 15 minutes", "%s의 etcd가 느립니다: 15분 동안 관련 로그 %d줄", pod.Spec.NodeName, len(lines)),
			Why: finding.Join(" ", finding.Textf("Its log says, among others: %s.", "로그 예: %s.", finding.Quote(last)), finding.Text{
				EN: "Every write waits for the majority's disks. Whether the disk, the processor or the network is slow its metrics tell.",
				KO: "모든 쓰기는 과반수 member의 디스크를 기다립니다. 디스크, CPU, 네트워크 중 무엇이 느린지는 etcd metric으로 구분합니다.",
			}),
			Evidence: append([]finding.Evidence{{Source: finding.Named(snapshot.SubjectOf(pod)), Path: "log of etcd", Value: finding.Quote(last)}}, why...),
			Explains: restarted(p),
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{
						Text:    finding.Text{EN: "99 of 100 writes to its log should take less than 10 ms, and commits less than 25 ms", KO: "WAL 쓰기의 99%는 10 ms, commit은 25 ms 안에 끝나야 합니다"},
						Command: "curl -s http://127.0.0.1:2381/metrics | grep -E 'etcd_disk_(wal_fsync|backend_commit)_duration_seconds_bucket|etcd_server_leader_changes'", Machine: pod.Spec.NodeName,
					},
					{
						Text:    finding.Text{EN: "see who else uses the disk and the processor", KO: "디스크와 CPU를 사용하는 다른 프로세스를 확인합니다"},
						Command: "iostat -x 5 3; top -b -n 1 | head -n 20", Machine: pod.Spec.NodeName,
					},
				},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "give /var/lib/etcd a fast disk of its own, and keep other workloads off control-plane machines",
					KO: "/var/lib/etcd에 빠른 전용 디스크를 사용하고 control plane 머신에 다른 워크로드를 두지 않습니다",
				}}},
			},
		}
		f.RuledOut = fastDisk(p, pod.Spec.NodeName)
		p.Report(f)
	}
	if unread > 0 || len(pods) == 0 {
		p.Skip(finding.Text{
			EN: "reads or leaders failed as with a slow etcd, and not every member's log could be read",
			KO: "etcd가 느릴 때처럼 읽기 또는 leader가 실패했지만 모든 member의 로그를 읽지는 못했습니다",
		})
	}
}

// fastDisk excludes the disk, where the member's machine measured that it is fast enough.
func fastDisk(p *rule.Pass, node string) []finding.Statement {
	const k = "etcd/metrics/fsync-p99"
	m, ok := p.Machine(node)
	if !ok {
		return nil
	}
	fsync, ok := m.Float(k)
	if !ok || fsync >= lateFsync {
		return nil
	}
	return []finding.Statement{{
		Text:     finding.Textf("its disk: 99 of 100 writes to its log took up to %s", "디스크: WAL 쓰기의 99%%가 %s 안에 끝났습니다", seconds(fsync)),
		Evidence: []finding.Evidence{m.Evidence(k)},
	}}
}

// suspicious tells whether anything shows for a slow etcd.
func suspicious(p *rule.Pass) ([]finding.Evidence, bool) {
	for _, k := range p.Kinds() {
		if c := p.Coverage(k); strings.Contains(c.Reason, "etcdserver:") {
			return []finding.Evidence{{Source: "API server", Path: "list " + k.GroupResource(), Value: finding.Quote(c.Reason), At: finding.Timestamp(c.ReadAt)}}, true
		}
	}
	const leaders = 2
	ended := restarted(p)
	if len(ended) < leaders {
		return nil, false
	}
	var out []finding.Evidence
	for _, s := range ended {
		pod, ok := snapshot.Get[*corev1.Pod](p.Snapshot, s.Namespace, s.Name)
		if !ok {
			continue
		}
		for i := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[i]
			if end := c.LastTerminationState.Terminated; end != nil {
				out = append(out, terminated(pod, c, end))
			}
		}
	}
	return out, true
}

// restarted returns static pods of the controller manager and the scheduler that ended lately; none
// where only one of the two did.
func restarted(p *rule.Pass) []finding.Subject {
	var out []finding.Subject
	for _, component := range []string{"kube-controller-manager", "kube-scheduler"} {
		before := len(out)
		for _, pod := range p.ControlPlanePods(component) {
			if slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
				end := c.LastTerminationState.Terminated
				return end != nil && end.ExitCode != 0 && p.Now().Sub(end.FinishedAt.Time) < lately
			}) {
				out = append(out, snapshot.SubjectOf(pod))
			}
		}
		if len(out) == before {
			return nil
		}
	}
	return out
}

// slowLines returns the lines of etcd's log that say that it was slow, as far as they are of now, and
// when the first of them was written. etcd writes JSON with the time in "ts".
func slowLines(log string, now time.Time) (lines []string, first time.Time) {
	for line := range strings.Lines(log) {
		if !slices.ContainsFunc(slowWords, func(w string) bool { return strings.Contains(line, w) }) {
			continue
		}
		var entry struct {
			TS   time.Time `json:"ts"`
			Took string    `json:"took"`
		}
		if start := strings.IndexByte(line, '{'); start >= 0 {
			if err := json.Unmarshal([]byte(strings.TrimSpace(line[start:])), &entry); err != nil {
				continue
			}
		}
		if entry.TS.IsZero() || now.Sub(entry.TS) > window {
			continue
		}
		if took, err := time.ParseDuration(entry.Took); err == nil && took < slowRequest {
			continue
		}
		first = finding.Earlier(first, entry.TS)
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines, first
}

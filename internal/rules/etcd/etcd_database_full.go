package etcd

import (
	"fmt"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdDatabaseFull",
	Title: finding.Text{EN: "etcd's database is full", KO: "etcd 데이터베이스 용량이 가득 찼습니다"},
	Doc: finding.Text{
		EN: "etcd has reached its quota (--quota-backend-bytes, 2 GiB where it is not set) and takes no more writes. Reads and deletions work and /readyz stays green, while no Lease is renewed: nodes and " +
			"controllers seem dead, or are believed alive for ever, for nobody can write that they are not. It is told from other causes of unwritten Leases by the words of kube-apiserver or etcd in their logs, or by the size " +
			"of the database. A database that holds more than four fifths of its quota is a warning. Where neither logs nor metrics can be read, LeasesNotRenewed names what is known.",
		KO: "etcd가 용량 한도(--quota-backend-bytes, 지정하지 않으면 2 GiB)에 도달하여 쓰기를 받지 않습니다. 읽기와 삭제는 되고 /readyz도 통과하지만 Lease가 갱신되지 않습니다. 노드와 controller가 죽은 것처럼 보이거나, 죽어도 기록할 수 없어 " +
			"계속 살아 있는 것으로 남습니다. kube-apiserver나 etcd의 로그, 또는 데이터베이스 크기로 다른 원인과 구분합니다. 한도의 80%를 넘으면 warning입니다. 로그도 metric도 읽을 수 없으면 LeasesNotRenewed가 확인된 것만 알립니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota",
	Severity: finding.Critical,
	Needs:    []rule.Need{rule.Whole[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	Causes:   []rule.Cause{{Code: "EtcdAlarm", Via: rule.Itself}, {Code: "EtcdDatabaseNearQuota", Via: rule.Itself}},
	Detect:   detectEtcdDatabaseFull,
})

// spaceWords are what etcd and its clients say when the quota is used up
// (go.etcd.io/etcd/api/v3rpc/rpctypes/error.go, ErrNoSpace; etcdctl's name for the alarm).
var spaceWords = []string{"database space exceeded", "NOSPACE"}

const (
	// logsAsked bounds how many logs of one component are asked for.
	logsAsked = 2
	// nearlyFull is the part of its quota, in percent, from which a database is told of.
	nearlyFull = 80
	// crowd is the number of objects of one kind from which the database's size is worth a question.
	crowd = 20_000
)

func detectEtcdDatabaseFull(p *rule.Pass) {
	if api := p.API(); !api.Asked || api.Failure != nil {
		return
	}
	since, stalled := unwritten(p)
	if !stalled && !crowded(p.Snapshot) {
		return
	}
	f := finding.Finding{Subject: store, Mechanism: v1alpha1.MechanismExhausted}
	pods := members(p.Snapshot)
	quota, quotaKnown := quotaOf(pods)
	m, measured := metrics(p)
	size, sized := m.StorageSize()
	if sized {
		value := bytes(size)
		if quotaKnown {
			value = fmt.Sprintf("%s of %s", bytes(size), bytes(quota))
		}
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "API server metrics", Path: "apiserver_storage_size_bytes", Value: value})
	}
	full := sized && quotaKnown && size >= quota
	near := sized && quotaKnown && size >= quota/100*nearlyFull
	if stalled {
		said := spaceExceeded(p, pods)
		full = full || len(said) > 0
		f.Evidence = append(said, f.Evidence...)
	}
	if !near && !(stalled && full) {
		return
	}
	var most finding.Text
	if measured {
		most = largest(m.ObjectCounts(), &f)
	}
	if !stalled {
		f.Severity = finding.Warning
		f.Title = finding.Textf("etcd's database holds %s of its quota of %s", "etcd 데이터베이스가 한도 %[2]s 중 %[1]s를 사용하고 있습니다", bytes(size), bytes(quota))
		f.Why = finding.Join(" ", finding.Text{
			EN: "When the quota is reached nothing can be written any more, Leases included.",
			KO: "한도에 도달하면 Lease를 포함하여 아무것도 쓸 수 없습니다.",
		}, most)
	} else {
		f.Since = since
		f.Title = finding.Text{EN: "etcd's database is full: nothing can be written", KO: "etcd 데이터베이스 용량이 가득 차서 아무것도 쓸 수 없습니다"}
		f.Why = finding.Join(" ", finding.Textf("Since %s no Lease has been written, while reads work and /readyz is green.", "%s부터 Lease가 갱신되지 않지만 읽기와 /readyz는 정상입니다.", finding.Clock(p.Now(), since)),
			proof(f.Evidence), most, finding.Text{
				EN: "Deletions still work. What any status says, and that nodes are Ready, is as old as that. Running pods go on.",
				KO: "삭제는 됩니다. 노드의 Ready를 포함한 모든 status는 그 시점의 값입니다. 실행 중인 Pod는 계속 동작합니다.",
			})
	}
	f.Remedies = makeRoom(pods)
	p.Report(f)
}

// proof says what decides.
func proof(evidence []finding.Evidence) finding.Text {
	if strings.HasPrefix(evidence[0].Path, "log of") {
		return finding.Textf("The log of %s says why: %s.", "%s의 로그에 이유가 있습니다: %s.", evidence[0].Source, evidence[0].Value)
	}
	return finding.Textf("The database has reached its quota: %s.", "데이터베이스가 한도에 도달했습니다: %s.", evidence[0].Value)
}

// crowded tells whether one kind has so many objects that they may fill the store.
func crowded(s *snapshot.Snapshot) bool {
	return slices.ContainsFunc(s.Kinds(), func(k snapshot.Kind) bool { return s.Len(k) >= crowd })
}

// spaceExceeded asks kube-apiserver and etcd what they say.
func spaceExceeded(p *rule.Pass, etcds []*corev1.Pod) []finding.Evidence {
	var out []finding.Evidence
	ask := func(pods []*corev1.Pod, component string) {
		for _, pod := range pods[:min(len(pods), logsAsked)] {
			text, ok := logOf(p, pod, component)
			if !ok {
				continue
			}
			for _, line := range slices.Backward(slices.Collect(strings.Lines(text))) {
				if slices.ContainsFunc(spaceWords, func(w string) bool { return strings.Contains(line, w) }) {
					out = append(out, finding.Evidence{Source: finding.Named(snapshot.SubjectOf(pod)), Path: "log of " + component, Value: finding.Quote(line)})
					break
				}
			}
		}
	}
	ask(p.ControlPlanePods("kube-apiserver"), "kube-apiserver")
	ask(etcds, "etcd")
	return out
}

// largest says which resources have the most objects, with that as evidence.
func largest(counts map[string]int, f *finding.Finding) finding.Text {
	const named = 3
	var parts []string
	for _, name := range snapshot.Largest(counts, named) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if len(parts) == 0 {
		return finding.Text{}
	}
	f.Evidence = append(f.Evidence, finding.Evidence{Source: "API server metrics", Path: "apiserver_resource_objects", Value: strings.Join(parts, ", ")})
	return finding.Textf("Most objects are of %s.", "객체가 가장 많은 리소스는 %s입니다.", strings.Join(parts, ", "))
}

// makeRoom is what etcd's own maintenance guide says, as one paste on a machine of a member.
func makeRoom(pods []*corev1.Pod) finding.Remedies {
	return finding.Remedies{
		Now: slices.Concat(
			onMachines(machines(pods)[:min(1, len(pods))], finding.Text{EN: "is the alarm NOSPACE raised, and how large is each member's database", KO: "NOSPACE 알람이 있는지, member별 데이터베이스 크기가 얼마인지 확인합니다"},
				etcdctl+"alarm list; "+etcdctl+"endpoint status --cluster -w table"),
			[]finding.Remedy{{Text: finding.Text{
				EN: "stop whoever makes the objects, delete those that nobody needs (deletions still work), then on one member: `etcdctl compact` to the present revision, `etcdctl defrag --cluster`, `etcdctl alarm disarm`",
				KO: "객체를 만드는 주체를 중지하고 필요 없는 객체를 삭제한 뒤(삭제는 됩니다) member 하나에서 현재 revision으로 `etcdctl compact`, `etcdctl defrag --cluster`, `etcdctl alarm disarm`을 실행합니다",
			}}}),
		Later: []finding.Remedy{{Text: finding.Textf("limit the number of objects with ResourceQuotas (count/…), watch apiserver_storage_size_bytes against the quota, and raise --quota-backend-bytes in %s where 8 GiB are not reached",
			"ResourceQuota(count/…)로 객체 수를 제한하고 apiserver_storage_size_bytes를 한도와 비교해 감시하며, 8 GiB 이하라면 %s의 --quota-backend-bytes를 늘립니다", manifest)}},
	}
}

package etcd

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// emptied tells of a store that was emptied while kube-apiserver ran: its lists come from what it has
// in memory and look as before, but no Lease is renewed, for each write meets an object that is no
// more, and a GET by name finds nothing.
func emptied(p *rule.Pass) (finding.Finding, bool) {
	last, stopped := leasesStopped(p)
	if !stopped {
		return finding.Finding{}, false
	}
	questions := []snapshot.Question{{Kind: snapshot.StoredObject, Resource: "namespaces", Name: metav1.NamespaceSystem}}
	f := finding.Finding{Subject: store, Mechanism: v1alpha1.MechanismMissing, Since: last}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		if len(questions) == 1 {
			questions = append(questions, snapshot.Question{Kind: snapshot.StoredObject, Resource: "nodes", Name: n.Name})
		}
		f.Explains = append(f.Explains, snapshot.SubjectOf(n))
	}
	if len(questions) < 2 {
		return finding.Finding{}, false
	}
	for _, q := range questions {
		a, ok := p.Ask(q)
		if !ok || a.Outcome != snapshot.Absent {
			return finding.Finding{}, false
		}
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: "API server", Path: "GET " + q.Resource + "/" + q.Name, Value: finding.Quote(a.Error) + ", and its lists show it", At: finding.Timestamp(a.At),
		})
	}
	f.Title = finding.Textf("etcd has lost its data: lists show what is no longer stored, since %s", "etcd가 데이터를 잃었습니다: %s부터 목록에는 보이지만 저장되어 있지 않습니다", finding.Clock(p.Now(), last))
	f.Why = finding.Text{
		EN: "The API server still lists its objects from memory, and a GET finds neither Namespace kube-system nor a Node: the store behind it is empty or another. No Lease is renewed any more. " +
			"Once kube-apiserver restarts, the lists are empty too. Containers on the machines run on.",
		KO: "API server는 메모리에 있는 객체를 목록으로 계속 보여 주지만, GET으로는 Namespace kube-system도 Node도 찾을 수 없습니다. 뒤의 저장소가 비었거나 다른 저장소입니다. 어떤 Lease도 갱신되지 않습니다. " +
			"kube-apiserver가 다시 시작되면 목록도 비게 됩니다. 머신의 컨테이너는 계속 실행됩니다.",
	}
	f.Remedies = restore(p.Snapshot)
	return f, true
}

// leasesStopped tells whether the kubelets of all nodes have ceased to renew their Leases, and when
// the last of them did.
func leasesStopped(p *rule.Pass) (last time.Time, stopped bool) {
	for _, l := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if l.Namespace != corev1.NamespaceNodeLease {
			continue
		}
		w := p.Writer(snapshot.KubeletOn(l.Name))
		if w.State != snapshot.Dead {
			return time.Time{}, false
		}
		last, stopped = finding.Later(last, w.LastSeen), true
	}
	return last, stopped
}

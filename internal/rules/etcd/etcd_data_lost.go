package etcd

import (
	"fmt"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdDataLost",
	Title: finding.Text{EN: "etcd has lost its data", KO: "etcd가 데이터를 잃었습니다"},
	Doc: finding.Text{
		EN: "The API server works and its store is empty or another one: what it reads from etcd has far fewer nodes than its memory still holds, or kubelets renew the Leases of nodes that do not exist while kube-system " +
			"itself was made just now, or static pods beside kube-apiserver run that are older than kube-system. /readyz is green. The containers on the machines run on, and nothing knows of them. A young cluster (its containers start with it), one " +
			"node that was deleted, and a scaled-down node group are left alone.",
		KO: "API server는 동작하지만 저장소가 비어 있거나 다른 것으로 바뀌었습니다. etcd에서 읽은 노드가 메모리에 남은 것보다 훨씬 적거나, kubelet이 존재하지 않는 노드의 Lease를 갱신하는데 kube-system이 방금 만들어졌거나, " +
			"kube-apiserver와 같은 노드의 static Pod가 kube-system보다 오래된 경우입니다. /readyz는 통과합니다. 머신의 컨테이너는 계속 실행되지만 클러스터가 이를 알지 못합니다. 새로 만든 클러스터, 노드 하나의 삭제, 축소된 노드 그룹은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster",
	Severity: finding.Critical,
	Needs: []rule.Need{
		rule.Whole[*corev1.Node](), rule.Whole[*corev1.Namespace](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod](),
	},
	Detect: detectEtcdDataLost,
})

const (
	// bootstrap is how much older than kube-system the first containers of a new cluster may be:
	// kube-apiserver makes that namespace once it and etcd are up.
	bootstrap = 10 * time.Minute
	// justMade is how young kube-system must be for nodes to be missing because of it.
	justMade = 24 * time.Hour
)

func detectEtcdDataLost(p *rule.Pass) {
	if p.Coverage(snapshot.KindOf[*corev1.Node]()).FromCache || p.Coverage(snapshot.KindOf[*corev1.Namespace]()).FromCache {
		return // What is lost shows only in what was read from etcd itself.
	}
	system, ok := snapshot.Get[*corev1.Namespace](p.Snapshot, "", metav1.NamespaceSystem)
	if !ok || system.CreationTimestamp.IsZero() {
		return
	}
	if f, ok := emptied(p); ok {
		p.Report(f)
		return
	}
	made := system.CreationTimestamp.Time
	f := finding.Finding{Subject: store, Mechanism: v1alpha1.MechanismMissing, Since: made}
	orphans := nodeless(p)
	if older := olderContainer(p, made.Add(-bootstrap)); older != nil {
		f.Evidence = append(f.Evidence, *older)
	}
	young := p.Now().Sub(made) < justMade && len(orphans) > 0
	if young || len(f.Evidence) > 0 {
		f.Evidence = append(f.Evidence, counts(p)...)
	}
	if young && len(f.Evidence) == 0 && 2*len(orphans) <= p.Len(snapshot.KindOf[*corev1.Node]()) {
		return // A node that was deleted while its kubelet runs.
	}
	if !young && len(f.Evidence) == 0 {
		return
	}
	f.Evidence = append(f.Evidence, finding.Evidence{
		Source: "Namespace " + metav1.NamespaceSystem, Path: ".metadata.creationTimestamp", Value: made.UTC().Format(time.RFC3339), At: finding.Timestamp(made),
	})
	if len(f.Evidence) == 1 {
		f.Confidence = v1alpha1.ConfidenceMedium
	}
	for _, name := range orphans {
		f.Explains = append(f.Explains, finding.Subject{Kind: "Node", Name: name})
	}
	var which finding.Text
	if len(orphans) > 0 {
		which = finding.Format("Kubelets renew the Leases of nodes that do not exist: %s.", "존재하지 않는 노드의 Lease를 kubelet이 갱신하고 있습니다: %s.", finding.List(orphans))
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "Leases in " + corev1.NamespaceNodeLease, Path: ".metadata.name", Value: finding.List(orphans).EN + ": no such Node"})
	}
	f.Title = finding.Textf("etcd has lost its data: the cluster begins anew at %s", "etcd가 데이터를 잃었습니다: 클러스터가 %s에 새로 시작되었습니다", finding.Clock(p.Now(), made))
	f.Why = finding.Join(" ", finding.Textf("kube-system was made at %s, and what is older than that still runs.", "kube-system은 %s에 만들어졌지만 그보다 오래된 것이 아직 실행 중입니다.", finding.Clock(p.Now(), made)),
		which, finding.Text{
			EN: "The API server reads from an empty or another store. Containers on the machines run on, and nothing replaces or updates them; objects that were there before are gone.",
			KO: "API server가 비어 있거나 다른 저장소를 읽고 있습니다. 머신의 컨테이너는 계속 실행되지만 대체하거나 갱신할 수 없으며, 이전에 있던 객체는 사라졌습니다.",
		})
	f.Remedies = restore(p.Snapshot)
	p.Report(f)
}

// restore is what there is to do about a store without its data.
func restore(s *snapshot.Snapshot) finding.Remedies {
	return finding.Remedies{
		Now: append(onMachines(machines(members(s)), finding.Text{EN: "is this the data directory that was used before, and is a copy of it there", KO: "이전에 쓰던 데이터 디렉터리가 맞는지, 사본이 있는지 확인합니다"},
			"grep data-dir "+manifest+"; ls -la /var/lib/etcd /var/lib/etcd/member"),
			finding.Remedy{Text: finding.Text{
				EN: "do not create objects anew and do not restart kubelets or machines: running containers are lost with that. Move the manifests of kube-apiserver and etcd out of /etc/kubernetes/manifests, restore the last snapshot with `etcdutl snapshot restore`, and move them back",
				KO: "객체를 새로 만들거나 kubelet, 머신을 다시 시작하지 마십시오. 실행 중인 컨테이너까지 잃게 됩니다. kube-apiserver와 etcd의 manifest를 /etc/kubernetes/manifests 밖으로 옮기고 `etcdutl snapshot restore`로 마지막 snapshot을 복원한 뒤 되돌립니다",
			}}),
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "save etcd snapshots on a schedule to another machine, and try to restore one",
			KO: "etcd snapshot을 정기적으로 다른 머신에 저장하고 복원을 시험합니다",
		}}},
	}
}

// nodeless names the nodes whose kubelets renew their Leases while no such Node exists.
func nodeless(p *rule.Pass) []string {
	var out []string
	for _, l := range snapshot.List[*coordinationv1.Lease](p.Snapshot) {
		if l.Namespace != corev1.NamespaceNodeLease {
			continue
		}
		if _, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", l.Name); !ok && p.Writer(snapshot.KubeletOn(l.Name)).State == snapshot.Alive {
			out = append(out, l.Name)
		}
	}
	return out
}

// olderContainer finds a static pod beside kube-apiserver whose container has been running since before
// a moment. Of other machines the clocks may differ from the API server's.
func olderContainer(p *rule.Pass, t time.Time) *finding.Evidence {
	for _, server := range p.ControlPlanePods("kube-apiserver") {
		for _, pod := range p.PodsOn(server.Spec.NodeName) {
			if e := startedBefore(pod, t); e != nil && snapshot.StaticPod(pod) {
				return e
			}
		}
	}
	return nil
}

func startedBefore(pod *corev1.Pod, t time.Time) *finding.Evidence {
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		if c.State.Running != nil && !c.State.Running.StartedAt.IsZero() && c.State.Running.StartedAt.Time.Before(t) {
			return &finding.Evidence{
				Source: finding.Named(snapshot.SubjectOf(pod)), Path: fmt.Sprintf(".status.containerStatuses[%s].state.running.startedAt", c.Name),
				Value: c.State.Running.StartedAt.UTC().Format(time.RFC3339), At: finding.Timestamp(c.State.Running.StartedAt.Time),
			}
		}
	}
	return nil
}

// counts asks how many nodes and namespaces etcd has and how many the watch cache, and tells of those
// of which less than half are left.
func counts(p *rule.Pass) []finding.Evidence {
	var out []finding.Evidence
	for _, r := range []string{"nodes", "namespaces"} {
		stored, ok := count(p, snapshot.Question{Kind: snapshot.ObjectCount, Resource: r})
		cached, okCached := count(p, snapshot.Question{Kind: snapshot.ObjectCount, Resource: r, Cached: true})
		if ok && okCached && 2*stored < cached {
			out = append(out, finding.Evidence{Source: "API server", Path: "count of " + r, Value: fmt.Sprintf("%d in etcd, %d in its memory", stored, cached)})
		}
	}
	return out
}

func count(p *rule.Pass, q snapshot.Question) (int, bool) {
	a, ok := p.Ask(q)
	if !ok || a.Outcome != snapshot.Answered {
		return 0, false
	}
	n, err := strconv.Atoi(a.Text)
	return n, err == nil
}

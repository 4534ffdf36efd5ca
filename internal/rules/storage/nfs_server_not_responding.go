package storage

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "NfsServerNotResponding",
	Title: finding.Text{EN: "NFS server does not respond", KO: "NFS 서버가 응답하지 않습니다"},
	Doc: finding.Text{
		EN: "A mount of an NFS server does not answer on one or several machines, or answers with an error. With hard mounts, which are the default, whoever touches it waits for good and cannot be ended: pods hang while they stop, and so may the kubelet. Where " +
			"all machines that mount from it wait it is the server, where only some do it is their way to it. A stale handle tells that the export was removed or made anew. The pods there that use the server are named. A server that is slow for " +
			"a few seconds is left alone.",
		KO: "하나 또는 여러 머신에서 NFS 서버의 mount가 응답하지 않거나 오류를 돌려줍니다. 기본값인 hard mount이면 접근한 프로세스가 끝없이 기다리며 종료할 수 없으므로 Pod 종료가 멈추고 kubelet도 멈출 수 있습니다. mount한 모든 머신에서 기다리면 서버, 일부에서만 기다리면 그 머신에서 가는 경로의 문제입니다. " +
			"stale handle은 export가 삭제되었거나 다시 만들어졌음을 뜻합니다. 해당 서버를 쓰는 Pod를 알려 줍니다. 몇 초 동안만 느린 서버는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/volumes/#nfs",
	Severity: finding.Critical,
	For:      4 * time.Second,
	Needs: append([]rule.Need{
		rule.Optional[*corev1.Pod](), rule.Optional[*corev1.PersistentVolumeClaim](), rule.Optional[*corev1.PersistentVolume](),
	}, rule.Owners()...),
	Machine: []snapshot.EvidenceKey{"nfs/mount/*/server", "nfs/mount/*/soft", "nfs/server/*/stuck", "nfs/server/*/error"},
	Detect:  detectNfsServerNotResponding,
})

// nfsServer is a server and how the machines that mount from it fare.
type nfsServer struct {
	mounting, failing []snapshot.Machine
	since             time.Time
	message           string
	evidence          []finding.Evidence
	hard              bool
}

func detectNfsServerNotResponding(p *rule.Pass) {
	servers := map[string]*nfsServer{}
	for _, m := range p.Machines() {
		for _, e := range m.Select("nfs/mount/*/server") {
			s := servers[e.Value]
			if s == nil {
				s = &nfsServer{}
				servers[e.Value] = s
			}
			s.hard = s.hard || !m.True(snapshot.KeyOf("nfs", "mount", e.Key.Segments()[2], "soft"))
			if n := len(s.mounting); n == 0 || s.mounting[n-1].Node() != m.Node() {
				s.mounting = append(s.mounting, m)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		s := servers[name]
		for _, m := range s.mounting {
			stuck, failed := snapshot.KeyOf("nfs", "server", name, "stuck"), snapshot.KeyOf("nfs", "server", name, "error")
			key := stuck
			if message := m.Value(failed); message != "" {
				key, s.message = failed, message
			} else if !m.True(stuck) {
				continue
			}
			s.failing = append(s.failing, m)
			s.evidence = append(s.evidence, m.Evidence(key))
			s.since = finding.Earlier(s.since, m.Since(key))
		}
		if len(s.failing) > 0 {
			p.Report(s.report(p, name))
		}
	}
}

func (s *nfsServer) report(p *rule.Pass, name string) finding.Finding {
	var nodes []string
	for _, m := range s.failing {
		nodes = append(nodes, m.Node())
	}
	pods := s.pods(p, name)
	f := finding.Finding{
		Subject: finding.Subject{Kind: "NfsServer", Name: name}, Mechanism: v1alpha1.MechanismUnreachable, Since: s.since, Evidence: s.evidence,
		Title: finding.Format("NFS server %s does not respond to %s", "NFS 서버 %s: %s에서 응답이 없습니다", finding.Verbatim(name), finding.List(nodes)),
	}
	if len(s.failing) == 1 {
		f.Subject = s.failing[0].Subject("NfsServer", name)
	}
	var why []finding.Text
	if s.message != "" {
		f.Mechanism = v1alpha1.MechanismFailing
		f.Title = finding.Format("NFS server %s answers %s with an error", "NFS 서버 %s: %s에서 접근이 오류로 끝납니다", finding.Verbatim(name), finding.List(nodes))
		why = append(why, finding.Textf("What is mounted from it answers: %s.", "mount에 접근하면 다음 오류가 납니다: %s.", finding.Quote(s.message)))
	} else {
		why = append(why, finding.Text{EN: "What is mounted from it was asked how full it is, and has not answered.", KO: "mount에 사용량을 물었으나 응답이 없습니다."})
	}
	switch {
	case len(s.mounting) == 1:
	case len(s.failing) == len(s.mounting):
		why = append(why, finding.Textf("All %d machines that mount from it wait: it is the server, or what all share.", "mount한 머신 %d대 모두에서 그러하므로 서버 또는 공통 경로의 문제입니다.", len(s.mounting)))
	default:
		why = append(why, finding.Textf("%d of %d machines that mount from it get answers: it is the way from the others.", "mount한 머신 %[2]d대 중 %[1]d대는 응답을 받으므로 나머지 머신에서 가는 경로의 문제입니다.", len(s.mounting)-len(s.failing), len(s.mounting)))
	}
	if s.hard && s.message == "" {
		why = append(why, finding.Text{EN: "It is mounted hard: who touches it waits for good and cannot be ended.", KO: "hard mount이므로 접근한 프로세스는 끝없이 기다리며 종료할 수 없습니다."})
	}
	if len(pods) > 0 {
		why = append(why, finding.Format("Used there by %s.", "사용하는 Pod: %s.", finding.List(podNames(pods))))
	}
	f.Why = finding.Join(" ", why...)
	seen := map[finding.Subject]bool{}
	for _, pod := range pods {
		for _, subject := range []finding.Subject{snapshot.SubjectOf(pod), p.Workload(pod)} {
			if !seen[subject] {
				seen[subject] = true
				f.Explains = append(f.Explains, subject)
			}
		}
	}
	if len(s.failing) > 1 {
		// The finding is about none of the machines, and yet programs on each wait for the server.
		for _, m := range s.failing {
			f.Explains = append(f.Explains, m.Subject("Machine", m.Node()), m.Subject("Unit", "kubelet.service"))
		}
	}
	first := s.failing[0].Node()
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{
			{Text: finding.Text{EN: "does the server answer from there", KO: "머신에서 서버가 응답하는지 확인합니다"}, Command: fmt.Sprintf("nc -zvw3 %s 2049; rpcinfo -p %s; dmesg -T | grep -i nfs | tail", finding.ShellWord(name), finding.ShellWord(name)), Machine: first},
			{Text: finding.Text{EN: "who waits", KO: "기다리는 프로세스를 확인합니다"}, Command: "ps -eo pid,stat,wchan:30,args | awk '$2~/D/'", Machine: first},
			{Text: finding.Text{EN: "bring the server or the way to it back: waits then end by themselves. After a stale handle, pods are made anew", KO: "서버 또는 경로를 되살리면 기다림이 끝납니다. stale handle이면 Pod를 다시 만듭니다"}},
		},
		Later: []finding.Remedy{{Text: finding.Text{EN: "keep NFS servers redundant, and set timeo and retrans with soft only where lost writes do no harm", KO: "NFS 서버를 이중화하고, 쓰기를 잃어도 되는 곳에만 soft와 timeo, retrans를 지정합니다"}}},
	}
	return f
}

// pods are those on the machines that fail whose volumes are the server's.
func (s *nfsServer) pods(p *rule.Pass, server string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, m := range s.failing {
		for _, pod := range p.PodsOn(m.Node()) {
			if !snapshot.PodDone(pod) && usesNFS(p, pod, server) {
				out = append(out, pod)
			}
		}
	}
	return out
}

// usesNFS tells whether a pod mounts from a server: by itself, or by a claim whose volume is there.
func usesNFS(p *rule.Pass, pod *corev1.Pod, server string) bool {
	for i := range pod.Spec.Volumes {
		if n := pod.Spec.Volumes[i].NFS; n != nil && n.Server == server {
			return true
		}
	}
	for name := range claimNames(pod) {
		claim, ok := snapshot.Get[*corev1.PersistentVolumeClaim](p.Snapshot, pod.Namespace, name)
		if !ok || claim.Spec.VolumeName == "" {
			continue
		}
		volume, ok := snapshot.Get[*corev1.PersistentVolume](p.Snapshot, "", claim.Spec.VolumeName)
		if !ok {
			continue
		}
		// The attribute is that of the NFS driver of Kubernetes (github.com/kubernetes-csi/csi-driver-nfs).
		if n := volume.Spec.NFS; n != nil && n.Server == server || volume.Spec.CSI != nil && volume.Spec.CSI.VolumeAttributes["server"] == server {
			return true
		}
	}
	return false
}

func podNames(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		out = append(out, pod.Namespace+"/"+pod.Name)
	}
	return out
}

package node

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "InodesExhausted",
	Title: finding.Text{EN: "file system runs out of inodes", KO: "파일시스템의 inode가 부족합니다"},
	Doc: finding.Text{
		EN: "A file system of the machine can hold almost no more files, however much space is left: less than a twentieth of its inodes is free where the kubelet's folder, images or etcd's data lie (the kubelet evicts from there " +
			"on by default), less than a fiftieth elsewhere. Many small files are the cause: layers of images, sessions, mail queues. It is critical where etcd has none left. File systems that make inodes as they need them are left alone.",
		KO: "공간이 남아 있어도 파일을 거의 더 만들 수 없습니다. kubelet의 디렉터리, 이미지, etcd 데이터가 있으면 남은 inode가 1/20 미만(kubelet이 기본값으로 eviction을 시작하는 지점), 그 밖에는 1/50 미만일 때입니다. 이미지 layer, 세션, 메일 큐처럼 작은 파일이 많은 것이 " +
			"원인입니다. etcd가 쓸 inode가 없으면 critical입니다. inode를 필요할 때 만드는 파일시스템은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{
		"filesystem/*/type", "filesystem/*/device", "filesystem/*/holds/*", "filesystem/*/inodes", "filesystem/*/inodes-free",
		"filesystem/*/read-only", "etcd/local/answer",
	},
	Detect: detectInodesExhausted,
})

const (
	// evictionInodes is what the kubelet wants to have free where its folder is, unless it is told
	// otherwise (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1/defaults_linux.go, nodefs.inodesFree).
	evictionInodes = 0.05
	// fewInodes is how little is too little elsewhere.
	fewInodes = 0.02
	// etcdInodes is how many files etcd needs to go on: a log file and a snapshot, each with a temporary one.
	etcdInodes = 4
)

func detectInodesExhausted(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, f := range filesystemsOf(m) {
			all, ok1 := m.Int(f.key("inodes"))
			free, ok2 := m.Int(f.key("inodes-free"))
			least := fewInodes
			if f.has(roleKubelet, roleImages, roleEtcd) {
				least = evictionInodes
			}
			if !ok1 || !ok2 || all <= 0 || f.True(f.key("read-only")) || float64(free) >= least*float64(all) {
				continue
			}
			out := finding.Finding{
				Subject: f.subject(), Mechanism: v1alpha1.MechanismExhausted, Field: f.point,
				Title: finding.Textf("machine %s: %s runs out of inodes, %d of %d left", "머신 %s: %s 파일시스템의 inode가 부족합니다(%[4]d개 중 %[3]d개 남음)", m.Node(), f.point, free, all),
				Why: finding.Join(" ", finding.Textf("%s can hold hardly any more files, however much space it has.", "%s에는 공간이 있어도 파일을 거의 더 만들 수 없습니다.", f.device()),
					f.loses()),
				Evidence: []finding.Evidence{f.Evidence(f.key("inodes")), f.Evidence(f.key("inodes-free"))},
				Remedies: finding.Remedies{
					Now: []finding.Remedy{{
						Text:    finding.Text{EN: "which folders hold most files", KO: "파일이 가장 많은 디렉터리를 확인합니다"},
						Command: fmt.Sprintf("df -i %s; du -xd3 --inodes %s 2>/dev/null | sort -n | tail -15", finding.ShellWord(f.point), f.folders()), Machine: m.Node(),
					}},
					Later: []finding.Remedy{{Text: finding.Text{
						EN: "remove what makes the files, or make the file system anew with more inodes (mkfs.ext4 -i) or as XFS",
						KO: "파일을 만드는 원인을 없애거나, inode가 더 많은 파일시스템(mkfs.ext4 -i) 또는 XFS로 다시 만듭니다",
					}}},
				},
			}
			switch {
			case f.has(roleEtcd) && etcdElsewhere(p, m):
				out.Why = finding.Join(" ", out.Why, othersGoOn)
			case f.has(roleEtcd) && free < etcdInodes:
				out.Severity = finding.Critical
			case !f.has(roleEtcd, roleKubelet, roleImages, roleRun, roleLogs, roleTmp, roleRoot):
				out.Severity = finding.Info
			}
			p.Report(out)
		}
	}
}

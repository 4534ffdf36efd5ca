package node

import (
	corev1 "k8s.io/api/core/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code: "NodeDiskPressure",
	Title: finding.Text{
		EN: "node runs out of disk",
		KO: "노드의 디스크가 부족합니다",
	},
	Doc: finding.Text{
		EN: "The kubelet says DiskPressure: its file system, or the runtime's for images, has too little space or too few inodes left. It removes images, then evicts pods, takes no new ones, and the pods " +
			"that are evicted elsewhere overload other nodes. What it evicted and why, its events in order, what it measures now, and the pod that uses the most are shown. Evicted pods that are still " +
			"listed after the pressure has passed are history and are left alone; so is the condition of a node whose kubelet is dead.",
		KO: "kubelet이 DiskPressure를 알립니다. kubelet의 파일시스템이나 이미지용 파일시스템에 공간 또는 inode가 부족합니다. 이미지를 지우고, Pod를 eviction하고, 새 Pod를 받지 않으며, eviction된 Pod가 다른 노드로 몰립니다. 무엇을 왜 eviction했는지, " +
			"순서대로 정리한 이벤트, 현재 측정값, 가장 많이 쓰는 Pod를 보여 줍니다. 압박이 끝난 뒤에도 목록에 남아 있는 Evicted Pod는 지난 일이므로 대상이 아니며, kubelet이 죽은 노드의 condition도 믿지 않습니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
	Severity: finding.Warning,
	Needs:    pressureNeeds(),
	Causes: []rule.Cause{
		{Code: "FilesystemFull", Via: rule.OnMachine, Holds: explainsPressure},
		{Code: "InodesExhausted", Via: rule.OnMachine, Holds: explainsPressure},
	},
	Detect: pressure{
		condition: corev1.NodeDiskPressure,
		of:        finding.Text{EN: "disk space", KO: "디스크 공간이"},
		starved:   []string{"ephemeral-storage", "inodes", string(corev1.NodeDiskPressure)},
		events:    []string{"EvictionThresholdMet", "FreeDiskSpaceFailed", "ImageGCFailed", "ContainerGCFailed"},
		measured:  diskLeft,
		hog: func(s stats.Summary) (stats.PodReference, uint64) {
			return topPod(s, func(p stats.PodStats) *uint64 {
				if p.EphemeralStorage == nil {
					return nil
				}
				return p.EphemeralStorage.UsedBytes
			})
		},
		now: []finding.Remedy{
			{Text: finding.Text{EN: "what takes the space", KO: "공간을 차지하는 것을 확인합니다"}, Command: "df -h / /var/lib/kubelet /var/lib/containerd; df -i / /var/lib/kubelet; du -xhd1 /var/lib /var/log | sort -h | tail"},
			{Text: finding.Text{EN: "images that no container uses can go", KO: "컨테이너가 쓰지 않는 이미지를 지웁니다"}, Command: "crictl rmi --prune"},
		},
		later: []finding.Remedy{{Text: finding.Text{
			EN: "set ephemeral-storage limits, rotate logs, and give images a disk of their own that is watched",
			KO: "ephemeral-storage limit을 지정하고, 로그를 rotate하고, 이미지에 전용 디스크를 두어 감시합니다",
		}}},
	}.detect,
})

// diskLeft tells what is left of the kubelet's and the images' file systems.
func diskLeft(s stats.Summary) finding.Text {
	var parts []finding.Text
	add := func(name string, fs *stats.FsStats) {
		if fs == nil {
			return
		}
		parts = append(parts, part(name, fs.AvailableBytes, fs.CapacityBytes))
		if fs.InodesFree != nil && fs.Inodes != nil && *fs.Inodes > 0 && *fs.InodesFree*20 < *fs.Inodes {
			parts = append(parts, finding.Textf("%s %d of %d inodes free", "%s inode %[3]d개 중 %[2]d개 남음", name, *fs.InodesFree, *fs.Inodes))
		}
	}
	add("nodefs", s.Node.Fs)
	if r := s.Node.Runtime; r != nil {
		add("imagefs", r.ImageFs)
	}
	return finding.Join(", ", parts...)
}

// topPod is the pod with the most of a measure.
func topPod(s stats.Summary, measure func(stats.PodStats) *uint64) (top stats.PodReference, most uint64) {
	for i := range s.Pods {
		if used := measure(s.Pods[i]); used != nil && *used > most {
			top, most = s.Pods[i].PodRef, *used
		}
	}
	return top, most
}

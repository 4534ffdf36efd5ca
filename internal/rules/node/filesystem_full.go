package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FilesystemFull",
	Title: finding.Text{EN: "file system is full", KO: "파일시스템이 가득 찼습니다"},
	Doc: finding.Text{
		EN: "A file system of the machine has almost no space left, as df counts it: less than a tenth where the kubelet's folder, images or etcd's data lie, or what the kubelet there is told to evict below (evictionHard), less than a " +
			"twentieth and 10 GiB elsewhere. It is critical where etcd can no longer make its next log file. What lies on the file system, and who therefore suffers, is told. A file system on which nothing of " +
			"Kubernetes' is, and /boot, is only noted; images of other systems, which are full by design, are left alone.",
		KO: "머신의 파일시스템에 남은 공간이 df 기준으로 거의 없습니다. kubelet의 디렉터리, 이미지, etcd 데이터가 있으면 1/10 미만 또는 kubelet에 설정된 eviction 기준(evictionHard) 미만, 그 밖에는 1/20과 10 GiB 미만일 때입니다. etcd가 다음 로그 파일을 만들 수 없으면 " +
			"critical입니다. 파일시스템에 무엇이 있고 무엇이 영향을 받는지 알려 줍니다. Kubernetes와 관계없는 파일시스템과 /boot는 참고로만 표시하고, 처음부터 가득 찬 읽기 전용 이미지는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds",
	Severity: finding.Warning, Gravest: finding.Critical,
	Machine: []snapshot.EvidenceKey{
		"filesystem/*/type", "filesystem/*/device", "filesystem/*/holds/*", "filesystem/*/used-bytes", "filesystem/*/free-bytes", "filesystem/*/bytes-per-hour",
		"filesystem/*/read-only", "kubelet/setting/evictionHard", "etcd/local/answer",
	},
	Detect: detectFilesystemFull,
})

const (
	// evictionShare is what the kubelet wants to have free where its folder is, unless it is told
	// otherwise (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1/defaults_linux.go, nodefs.available).
	evictionShare = 0.10
	// fullShare and fullBytes bound what is left of other file systems that are called full: a twentieth
	// of a large disk is still plenty.
	fullShare = 0.05
	fullBytes = 10 << 30
	// rancherShare is what k3s and RKE2 tell their kubelets (github.com/k3s-io/k3s, pkg/daemons/agent/agent_linux.go,
	// eviction-hard).
	rancherShare = 0.05
	// emptyShare is how little is too little although the kubelet is told to evict nothing.
	emptyShare = 0.01
	// walBytes is twice what etcd must be able to set aside for its next log file
	// (go.etcd.io/etcd/server/v3/storage/wal, SegmentSizeBytes of 64 MB).
	walBytes = 128 << 20
)

func detectFilesystemFull(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, f := range filesystemsOf(m) {
			// What takes no writes is full by design (the root of Bottlerocket), or has a finding of its own.
			if used, free, ok := f.space(); ok && f.full(used, free) && !f.True(f.key("read-only")) {
				p.Report(filesystemFull(p, f, used, free))
			}
		}
	}
}

// full tells whether so little is left that it harms.
func (f filesystem) full(used, free uint64) bool {
	left := float64(free) / float64(used+free)
	if f.has(roleKubelet, roleImages) {
		return left < max(f.evictionShare(used+free), emptyShare)
	}
	if f.has(roleEtcd) {
		return left < evictionShare
	}
	return left < fullShare && free < fullBytes
}

// evictionShare is the share of a file system below which this machine's kubelet evicts: of its own folder's
// where that lies there, else of the images'.
func (f filesystem) evictionShare(total uint64) float64 {
	signal := "imagefs.available<"
	if f.has(roleKubelet) {
		signal = "nodefs.available<"
	}
	for limit := range strings.SplitSeq(f.Value("kubelet/setting/evictionHard"), ",") {
		value, found := strings.CutPrefix(limit, signal)
		if !found {
			continue
		}
		if percent, ok := strings.CutSuffix(value, "%"); ok {
			if share, err := strconv.ParseFloat(percent, 64); err == nil {
				return share / 100
			}
		} else if bytes, err := resource.ParseQuantity(value); err == nil {
			return bytes.AsApproximateFloat64() / float64(total)
		}
	}
	if slices.ContainsFunc(f.holds[roleImages], func(folder string) bool { return strings.HasPrefix(folder, "/var/lib/rancher/") }) {
		return rancherShare
	}
	return evictionShare
}

func filesystemFull(p *rule.Pass, f filesystem, used, free uint64) finding.Finding {
	percent := used * 100 / (used + free)
	out := finding.Finding{
		Subject: f.subject(), Mechanism: v1alpha1.MechanismExhausted, Field: f.point,
		Title: finding.Textf("machine %s: %s is full, %s of %s left", "머신 %s: %s 파일시스템이 가득 찼습니다(%[4]s 중 %[3]s 남음)", f.Node(), f.point, bytesText(free), bytesText(used+free)),
		Why: finding.Join(" ", finding.Textf("%d %% of %s is used.", "%[2]s의 %[1]d%%가 사용 중입니다.", percent, f.device()),
			f.grown(), f.loses()),
		Evidence: []finding.Evidence{f.Evidence(f.key("used-bytes")), f.Evidence(f.key("free-bytes"))},
		Remedies: finding.Remedies{
			Now: f.findWhatTakesSpace(),
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "give etcd, the kubelet and images disks of their own, rotate logs, set ephemeral-storage limits, and watch free space",
				KO: "etcd, kubelet, 이미지에 전용 디스크를 두고, 로그를 rotate하고, ephemeral-storage limit을 지정하고, 여유 공간을 감시합니다",
			}}},
		},
	}
	switch {
	case f.has(roleEtcd) && etcdElsewhere(p, f.Machine):
		out.Why = finding.Join(" ", out.Why, othersGoOn)
	case f.has(roleEtcd) && free < walBytes:
		out.Severity = finding.Critical
	case !f.has(roleEtcd, roleKubelet, roleImages, roleRun, roleLogs, roleTmp, roleRoot):
		out.Severity = finding.Info
	}
	return out
}

// grown says how fast it filled, where that was watched and matters.
func (f filesystem) grown() finding.Text {
	bytes, ok := f.Int(f.key("bytes-per-hour"))
	since := f.Since(f.key("bytes-per-hour"))
	if !ok || bytes <= 0 || since.IsZero() {
		return finding.Text{}
	}
	return finding.Textf("It has grown by %s an hour since %s.", "%[2]s부터 시간당 %[1]s씩 늘었습니다.", bytesText(uint64(bytes)), finding.Clock(f.ObservedAt(), since))
}

// findWhatTakesSpace shows the largest folders on the file system, and what can go at once.
func (f filesystem) findWhatTakesSpace() []finding.Remedy {
	out := []finding.Remedy{{
		Text:    finding.Text{EN: "what takes the space", KO: "공간을 차지하는 것을 확인합니다"},
		Command: fmt.Sprintf("df -h %s; du -xhd2 %s 2>/dev/null | sort -h | tail -15", finding.ShellWord(f.point), f.folders()), Machine: f.Node(),
	}}
	if f.has(roleImages) {
		out = append(out, finding.Remedy{Text: finding.Text{EN: "images that no container uses can go", KO: "컨테이너가 쓰지 않는 이미지를 지웁니다"}, Command: "crictl rmi --prune", Machine: f.Node()})
	}
	if f.has(roleLogs) {
		out = append(out, finding.Remedy{Text: finding.Text{EN: "old journal files can go", KO: "오래된 journal 파일을 지웁니다"}, Command: "journalctl --vacuum-size=200M", Machine: f.Node()})
	}
	return out
}

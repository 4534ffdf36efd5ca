package node

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "FilesystemFilling",
	Title: finding.Text{EN: "file system will be full within a day", KO: "파일시스템이 하루 안에 가득 찹니다"},
	Doc: finding.Text{
		EN: "A file system on which something of Kubernetes' lies has less than 40 % left and, growing as it did during the last hours, is full within a day. When, and what will suffer, is told. What was watched for less than an " +
			"hour is left alone, for a pulled image or an unpacked archive looks the same; so is what is full already (FilesystemFull).",
		KO: "Kubernetes가 쓰는 파일시스템에 남은 공간이 40%보다 적고, 최근 몇 시간과 같은 속도로 늘면 하루 안에 가득 찹니다. 언제 차고 무엇이 영향을 받는지 알려 줍니다. 이미지를 받거나 압축을 푸는 동안과 구별할 수 없으므로 관찰한 시간이 1시간보다 짧으면 제외합니다. " +
			"이미 가득 찬 파일시스템은 FilesystemFull에서 다룹니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
	Severity: finding.Warning,
	Machine: []snapshot.EvidenceKey{
		"filesystem/*/type", "filesystem/*/device", "filesystem/*/holds/*", "filesystem/*/used-bytes", "filesystem/*/free-bytes", "filesystem/*/bytes-per-hour",
		"kubelet/setting/evictionHard",
	},
	Detect: detectFilesystemFilling,
})

const (
	// fillingShare is below how much left a growing file system is worth a word; it and the day are those
	// of the Node Exporter's alerts (https://github.com/prometheus/node_exporter, docs/node-mixin).
	fillingShare = 0.40
	fillingIn    = 24 * time.Hour
	// watchedFor is how long growth must have been watched.
	watchedFor = time.Hour
)

func detectFilesystemFilling(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, f := range filesystemsOf(m) {
			used, free, ok := f.space()
			growth, measured := f.Int(f.key("bytes-per-hour"))
			since := f.Since(f.key("bytes-per-hour"))
			if !ok || !measured || growth <= 0 || f.full(used, free) || float64(free) >= fillingShare*float64(used+free) ||
				since.IsZero() || m.ObservedAt().Sub(since) < watchedFor || !f.has(roleEtcd, roleKubelet, roleImages, roleRun, roleLogs, roleTmp, roleRoot) {
				continue
			}
			left := time.Duration(float64(free) / float64(growth) * float64(time.Hour))
			if left > fillingIn {
				continue
			}
			p.Report(finding.Finding{
				Subject: f.subject(), Mechanism: v1alpha1.MechanismExhausted, Field: f.point, Since: since, Confidence: v1alpha1.ConfidenceMedium,
				Title: finding.Textf("machine %s: %s will be full in %d hours", "머신 %s: %s 파일시스템이 %d시간 뒤 가득 찹니다", m.Node(), f.point, int(left.Round(time.Hour).Hours())),
				Why: finding.Join(" ", finding.Textf("%s of %s is left.", "%[2]s 중 %[1]s 남았습니다.", bytesText(free), bytesText(used+free)),
					f.grown(), f.loses()),
				Evidence: []finding.Evidence{f.Evidence(f.key("free-bytes")), f.Evidence(f.key("bytes-per-hour"))},
				Remedies: finding.Remedies{
					Now: f.findWhatTakesSpace(),
					Later: []finding.Remedy{{Text: finding.Text{
						EN: "rotate what grows, set ephemeral-storage limits, and give what must grow a disk of its own",
						KO: "늘어나는 파일을 rotate하고, ephemeral-storage limit을 지정하고, 커져야 하는 데이터에는 전용 디스크를 둡니다",
					}}},
				},
			})
		}
	}
}

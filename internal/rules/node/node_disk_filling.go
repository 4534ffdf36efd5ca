package node

import (
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
	Code: "NodeDiskFilling",
	Title: finding.Text{
		EN: "disk fills up, and removing images does not help",
		KO: "디스크가 차고 있으며 이미지를 지워도 부족합니다",
	},
	Doc: finding.Text{
		EN: "The disk for images is fuller than the kubelet wants it (imageGCHighThresholdPercent, 85 % by default), and removing unused images frees too little: something else takes the space, and " +
			"DiskPressure with evictions comes next. The kubelet's event FreeDiskSpaceFailed must be fresh, for it looks every five minutes. Under DiskPressure it is that finding's evidence; an older event, " +
			"and what a kubelet says while it starts (invalid capacity 0 on image filesystem), are left alone.",
		KO: "이미지용 디스크가 kubelet의 기준(imageGCHighThresholdPercent, 기본 85%)보다 차 있고 쓰지 않는 이미지를 지워도 충분히 비워지지 않습니다. 다른 것이 공간을 차지하고 있으며 다음은 DiskPressure와 eviction입니다. kubelet은 5분마다 확인하므로 " +
			"FreeDiskSpaceFailed 이벤트가 최근 것이어야 합니다. DiskPressure 상태이면 그 문제의 근거로 다룹니다. 오래된 이벤트와 kubelet이 시작할 때의 메시지(invalid capacity 0 on image filesystem)는 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-lifecycle",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Any[*corev1.Event](), rule.Optional[*coordinationv1.Lease](), rule.Optional[*corev1.Pod]()},
	Causes: []rule.Cause{
		{Code: "FilesystemFull", Via: rule.OnMachine, Holds: explainsPressure},
		{Code: "FilesystemFilling", Via: rule.OnMachine, Holds: explainsPressure},
	},
	Detect: detectNodeDiskFilling,
})

// imageRounds is how old the last failure to free space may be: images are collected every 5 minutes
// (k8s.io/kubernetes/pkg/kubelet/kubelet.go, ImageGCPeriod), and one round may be missed.
const imageRounds = 11 * time.Minute

func detectNodeDiskFilling(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		subject := snapshot.SubjectOf(n)
		events := p.EventsOf(subject)
		last := slices.IndexFunc(events, func(e *corev1.Event) bool {
			return e.Reason == "FreeDiskSpaceFailed" && p.Now().Sub(snapshot.EventTime(e)) < imageRounds
		})
		pressed := snapshot.NodeCondition(n, corev1.NodeDiskPressure)
		if last < 0 || pressed != nil && pressed.Status == corev1.ConditionTrue || leaving(n) || p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
			continue
		}
		e := events[last]
		f := finding.Finding{
			Subject: subject, Mechanism: v1alpha1.MechanismExhausted, Since: snapshot.EventStart(e),
			Title: finding.Textf("node %s: the disk fills up, and removing images frees too little", "노드 %s: 디스크가 차고 있으며 이미지를 지워도 부족합니다", n.Name),
			Why: finding.Join(" ", finding.Textf("Its kubelet says: %s. DiskPressure and evictions come next.",
				"kubelet의 메시지: %s. 다음은 DiskPressure와 eviction입니다.", strings.TrimSuffix(finding.Quote(e.Message), ".")), carries(p.Snapshot, n)),
			Evidence: []finding.Evidence{eventEvidence(e)},
			Remedies: finding.Remedies{
				Now: []finding.Remedy{{
					Text:    finding.Text{EN: "what else takes the space: logs, volumes, containers' own files", KO: "이미지 말고 공간을 차지하는 것(로그, volume, 컨테이너가 쓴 파일)을 확인합니다"},
					Command: "df -h / /var/lib/kubelet /var/lib/containerd; du -xhd1 /var/lib /var/log | sort -h | tail", Machine: n.Name,
				}},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "give images a disk of their own, set ephemeral-storage limits, and watch free space",
					KO: "이미지에 전용 디스크를 두고, ephemeral-storage limit을 지정하고, 여유 공간을 감시합니다",
				}}},
			},
		}
		if a, ok := p.Ask(snapshot.Question{Kind: snapshot.KubeletStats, Name: n.Name}); ok && a.Outcome == snapshot.Answered {
			if s, err := summary(a); err == nil {
				f.Why = finding.Join(" ", f.Why, finding.Format("It measures: %s.", "kubelet의 측정값: %s.", diskLeft(s)))
			}
		}
		p.Report(f)
	}
}

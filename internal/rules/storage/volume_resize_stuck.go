package storage

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VolumeResizeStuck",
	Title: finding.Text{EN: "volume does not grow", KO: "volume이 확장되지 않습니다"},
	Doc: finding.Text{
		EN: "A claim asks for more than its volume has, and growing it failed or has not ended for ten minutes: the storage or the node refuses, or nobody " +
			"serves resizing for the driver. A file system that is only grown at the next mount, while no pod mounts it, is told as info. Left alone: volumes that are just growing.",
		KO: "claim이 현재 크기보다 큰 용량을 요청했지만 확장이 실패했거나 10분 넘게 끝나지 않습니다. storage나 노드가 거부하거나 driver의 resizer가 없는 경우입니다. " +
			"다음 mount 때 파일 시스템이 확장될 예정인데 사용하는 Pod가 없는 경우는 info로 알립니다. 확장이 진행 중인 volume은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/storage/persistent-volumes/#recovering-from-failure-when-expanding-volumes",
	Severity: finding.Warning,
	Needs:    owners(rule.Any[*corev1.PersistentVolumeClaim](), rule.Optional[*corev1.Event]()),
	Detect:   volumeResizeStuck,
})

// resizePatience is how long a volume may take to grow: clouds take minutes for a large one.
const resizePatience = 10 * time.Minute

// resize is what a claim's status says of its growing.
type resize struct {
	since   time.Time
	words   string
	failed  bool
	atMount bool
	path    string
}

func volumeResizeStuck(p *rule.Pass) {
	var all users
	for _, c := range snapshot.List[*corev1.PersistentVolumeClaim](p.Snapshot) {
		want, has := c.Spec.Resources.Requests[corev1.ResourceStorage], c.Status.Capacity[corev1.ResourceStorage]
		if c.Status.Phase != corev1.ClaimBound || c.DeletionTimestamp != nil || want.Cmp(has) <= 0 {
			continue
		}
		r, ok := resizeOf(p, c)
		if !ok {
			continue
		}
		if all == nil {
			all = usersOfClaims(p.Snapshot)
		}
		p.Report(resizeStuck(p, c, r, all.of(c)))
	}
}

// resizeOf tells whether a claim's growing failed or lasts too long
// (k8s.io/api/core/v1, PersistentVolumeClaimConditionType and ClaimResourceStatus).
func resizeOf(p *rule.Pass, c *corev1.PersistentVolumeClaim) (resize, bool) {
	r := resize{since: snapshot.SpecWritten(c)}
	found := false
	for _, cond := range c.Status.Conditions {
		if cond.Status != corev1.ConditionTrue {
			continue
		}
		long := p.Now().Sub(cond.LastTransitionTime.Time) > resizePatience
		switch cond.Type {
		case corev1.PersistentVolumeClaimControllerResizeError, corev1.PersistentVolumeClaimNodeResizeError:
			return resize{since: cond.LastTransitionTime.Time, words: cond.Message, failed: true, path: ".status.conditions[" + string(cond.Type) + "]"}, true
		case corev1.PersistentVolumeClaimFileSystemResizePending, corev1.PersistentVolumeClaimResizing:
			if long {
				r = resize{
					since: cond.LastTransitionTime.Time, words: cond.Message, path: ".status.conditions[" + string(cond.Type) + "]",
					atMount: cond.Type == corev1.PersistentVolumeClaimFileSystemResizePending,
				}
				found = true
			}
		default:
		}
	}
	switch s := c.Status.AllocatedResourceStatuses[corev1.ResourceStorage]; s {
	case corev1.PersistentVolumeClaimControllerResizeInfeasible, corev1.PersistentVolumeClaimNodeResizeInfeasible:
		r.failed, r.words, r.path, found = true, string(s), ".status.allocatedResourceStatuses[storage]", true
	default:
	}
	// Resizers and kubelets tell of a failure in events too (k8s.io/kubernetes/pkg/kubelet/events).
	if e := lastEvent(p.Snapshot, snapshot.SubjectOf(c), "VolumeResizeFailed", "FileSystemResizeFailed"); e != nil {
		r.failed, r.words, found = true, e.Message, true
		r.since = finding.Earlier(r.since, snapshot.EventStart(e))
	}
	return r, found
}

func resizeStuck(p *rule.Pass, c *corev1.PersistentVolumeClaim, r resize, pods []*corev1.Pod) finding.Finding {
	subject := snapshot.SubjectOf(c)
	want, has := c.Spec.Resources.Requests[corev1.ResourceStorage], c.Status.Capacity[corev1.ResourceStorage]
	f := finding.Finding{
		Subject: subject, Mechanism: v1alpha1.MechanismHung, Since: r.since, Field: ".spec.resources.requests.storage",
		Evidence: []finding.Evidence{{Source: finding.Named(subject), Path: ".status.capacity.storage", Value: fmt.Sprintf("%s, asked for %s", has.String(), want.String())}},
		Title: finding.Textf("claim %s/%s: its volume does not grow from %s to %s", "PersistentVolumeClaim %s/%s: volume이 %s에서 %s로 확장되지 않습니다",
			c.Namespace, c.Name, has.String(), want.String()),
	}
	if r.path != "" {
		f.Evidence = append(f.Evidence, finding.Evidence{Source: finding.Named(subject), Path: r.path, Value: finding.Quote(r.words), At: finding.Timestamp(r.since)})
	} else if e := lastEvent(p.Snapshot, subject, "VolumeResizeFailed", "FileSystemResizeFailed"); e != nil {
		f.Evidence = append(f.Evidence, eventEvidence(e))
	}
	see := finding.Remedy{
		Text:    finding.Text{EN: "see what the resizer says", KO: "resizer가 남긴 내용을 확인합니다"},
		Command: fmt.Sprintf("kubectl -n %s describe persistentvolumeclaim %s", c.Namespace, c.Name),
	}
	switch {
	case r.failed:
		f.Mechanism = v1alpha1.MechanismFailing
		f.Why = finding.Format("growing it failed: %s", "확장 실패: %s", quoted(r.words))
		f.Remedies.Now = []finding.Remedy{see, {
			Text:    finding.Textf("or ask for less, more than %s still, which a request that never succeeded may be changed to", "또는 %s보다 큰 범위에서 요청을 줄입니다. 성공하지 못한 요청은 줄일 수 있습니다", has.String()),
			Command: fmt.Sprintf("kubectl -n %s edit persistentvolumeclaim %s", c.Namespace, c.Name),
		}}
	case r.atMount && len(pods) == 0:
		f.Severity = finding.Info
		f.Why = finding.Text{EN: "the disk has grown; the file system grows when a pod mounts it, and none does", KO: "디스크는 확장되었고 파일 시스템은 Pod가 mount할 때 확장되지만, 사용하는 Pod가 없습니다"}
		f.Remedies.Now = []finding.Remedy{see}
	case r.atMount:
		f.Why = finding.Format("the disk has grown, and the file system grows when the pods of %s are started anew, where the driver cannot do it in use",
			"디스크는 확장되었습니다. 사용 중 확장을 지원하지 않는 driver라면 %s의 Pod를 다시 시작해야 파일 시스템이 확장됩니다", workloadNames(p.Snapshot, pods))
		f.Remedies.Now = []finding.Remedy{see}
		if metav1.GetControllerOfNoCopy(pods[0]) != nil { // Nobody makes another one anew.
			f.Remedies.Now = []finding.Remedy{{
				Text:    finding.Text{EN: "start the pod anew", KO: "Pod를 다시 시작합니다"},
				Command: fmt.Sprintf("kubectl -n %s delete pod %s", pods[0].Namespace, pods[0].Name),
			}, see}
		}
	default:
		f.Why = finding.Textf("the resizer has been at it since %s", "%s부터 resizer가 작업 중입니다", finding.Clock(p.Now(), r.since))
		f.Remedies.Now = []finding.Remedy{see}
	}
	f.Remedies.Later = []finding.Remedy{{Text: finding.Text{
		EN: "grow a volume before it is full, and try it on a copy with drivers that cannot grow one in use",
		KO: "volume이 차기 전에 늘리고, 사용 중 확장을 지원하지 않는 driver는 미리 시험합니다",
	}}}
	return f
}

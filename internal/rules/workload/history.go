package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	mediumConfidence = v1alpha1.ConfidenceMedium
	lowConfidence    = v1alpha1.ConfidenceLow
)

// history is what a workload's revisions say about the pods of it that fail.
type history struct {
	workload finding.Subject
	now      time.Time
	// failing is the name of a pod that fails.
	failing string
	// revision that brought the failing pods; only where newest is true.
	revision revision
	// newest tells that every failing pod is of the workload's newest revision, and that there
	// is an older one.
	newest bool
	// older and same are the Ready pods of older revisions and of the same one, other than those
	// that fail. Where revisions are not known, every pod counts as of the same.
	older, same int
	// wanted is the number of replicas that a Deployment asks for; 0 where nothing says.
	wanted int32
}

// historyNeeds are the kinds that historyOf reads beside Pods.
func historyNeeds() []rule.Need {
	return append([]rule.Need{
		rule.Optional[*appsv1.Deployment](), rule.Optional[*appsv1.StatefulSet](), rule.Optional[*appsv1.ControllerRevision](),
	}, rule.Owners()...)
}

// historyOf compares the pods that fail with the others of their workload.
func historyOf(s *snapshot.Snapshot, workload finding.Subject, failing []*corev1.Pod) history {
	h := history{workload: workload, now: s.Now(), failing: failing[0].Name}
	sameRevision := func(p *corev1.Pod) bool {
		const hash = appsv1.ControllerRevisionHashLabelKey
		return controllerOf(p) == controllerOf(failing[0]) && p.Labels[hash] == failing[0].Labels[hash]
	}
	fails := make(map[*corev1.Pod]bool, len(failing))
	for _, p := range failing {
		fails[p] = true
	}
	var older *corev1.Pod
	for _, p := range s.PodsOf(workload) {
		switch {
		case fails[p] || !snapshot.PodReady(p):
		case sameRevision(p):
			h.same++
		default:
			h.older++
			older = p
		}
	}
	oneRevision := !slices.ContainsFunc(failing, func(p *corev1.Pod) bool { return !sameRevision(p) })
	switch workload.Kind {
	case "Deployment":
		d, ok := snapshot.Get[*appsv1.Deployment](s, workload.Namespace, workload.Name)
		if !ok {
			return h
		}
		if d.Spec.Replicas != nil {
			h.wanted = *d.Spec.Replicas
		}
		h.revision, ok = revisionOf(s, d)
		h.newest = ok && oneRevision && h.revision.Previous != nil && controllerOf(failing[0]) == h.revision.Newest.Name
	case "StatefulSet", "DaemonSet":
		h.newest = oneRevision && older != nil && replaces(s, failing[0], older)
		if h.newest {
			h.revision.Images = imageChanges(older, failing[0])
		}
	}
	return h
}

// revisionNumber is how the ControllerRevision that a pod of a StatefulSet or DaemonSet was made of is
// numbered, which is named by the pod's label; false where there is none.
func revisionNumber(s *snapshot.Snapshot, p *corev1.Pod) (int64, bool) {
	hash := p.Labels[appsv1.ControllerRevisionHashLabelKey]
	// A StatefulSet puts the revision's name into the label, a DaemonSet only what follows its own name in it
	// (k8s.io/kubernetes/pkg/controller/statefulset, setPodRevision; pkg/controller/daemon, CreatePodTemplate).
	for _, name := range []string{hash, controllerOf(p) + "-" + hash} {
		if r, ok := snapshot.Get[*appsv1.ControllerRevision](s, p.Namespace, name); ok && hash != "" {
			return r.Revision, true
		}
	}
	return 0, false
}

// replaces tells whether a pod of a StatefulSet or DaemonSet is of a newer revision than another: of
// the one that the StatefulSet rolls out, else of the one with the higher number, else of the one
// whose pods came later. A StatefulSet may also make a pod of its old revision anew, a DaemonSet does
// not.
func replaces(s *snapshot.Snapshot, newer, older *corev1.Pod) bool {
	if ref := metav1.GetControllerOfNoCopy(newer); ref != nil && ref.Kind == "StatefulSet" {
		if set, ok := snapshot.Get[*appsv1.StatefulSet](s, newer.Namespace, ref.Name); ok && set.Status.UpdateRevision != "" {
			return newer.Labels[appsv1.ControllerRevisionHashLabelKey] == set.Status.UpdateRevision
		}
	}
	n, known := revisionNumber(s, newer)
	o, both := revisionNumber(s, older)
	if known && both {
		return n > o
	}
	return older.CreationTimestamp.Before(&newer.CreationTimestamp)
}

// brought says what the newest revision changed, when and by whom, where it blames the revision.
func (h history) brought(part string) finding.Text {
	if !h.blames(part) {
		return finding.Text{}
	}
	return h.revision.text(h.now)
}

// blames tells whether the newest revision changed a field whose path contains part, and none of
// its pods is Ready.
func (h history) blames(part string) bool {
	return h.newest && h.same == 0 && slices.ContainsFunc(h.revision.changes(), func(c change) bool { return strings.Contains(c.Path, part) })
}

// serving says who still does the workload's work.
func (h history) serving() finding.Text {
	count := finding.Textf("%d Ready", "Ready Pod %d개", h.older+h.same)
	if h.wanted > 0 {
		count = finding.Textf("%d Ready of %d wanted", "Ready Pod %d개, 필요 %d개", h.older+h.same, h.wanted)
	}
	switch {
	case h.newest && h.older > 0 && h.same == 0:
		return finding.Format("the old version goes on serving (%s)", "이전 버전이 계속 서비스하고 있습니다(%s)", count)
	case h.older+h.same > 0:
		return finding.Format("its other pods go on serving (%s)", "나머지 Pod는 계속 서비스하고 있습니다(%s)", count)
	default:
		return finding.Text{}
	}
}

// rollback goes back to the revision before; none where the newest revision is not to blame.
func (h history) rollback() []finding.Remedy {
	if !h.newest {
		return nil
	}
	command := fmt.Sprintf("kubectl -n %s rollout undo %s", h.workload.Namespace, argument(h.workload))
	text := finding.Textf("go back to the version before", "이전 버전으로 되돌립니다")
	if h.revision.Previous != nil {
		to := snapshot.Revision(h.revision.Previous)
		if to != 0 && to != snapshot.Revision(h.revision.Newest)-1 {
			command += fmt.Sprintf(" --to-revision=%d", to)
		}
		text = finding.Textf("go back to revision %d", "이전 버전(revision %d)으로 되돌립니다", to)
	}
	if by := h.revision.By; by != "" && !strings.HasPrefix(by, "kubectl") {
		text = finding.Join("; ", text, finding.Textf("correct it where %q takes it from, too, or it comes back",
			"%q에서 사용하는 원본도 바로잡지 않으면 다시 적용됩니다", by))
	}
	out := []finding.Remedy{{Text: text, Command: command}}
	if h.workload.Kind == "StatefulSet" {
		// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
		out = append(out, finding.Remedy{
			Text: finding.Textf(
				"then delete the pod that fails: a StatefulSet does not replace it by itself",
				"그다음 실패한 Pod를 삭제합니다. StatefulSet은 실패한 Pod를 스스로 교체하지 않습니다"),
			Command: fmt.Sprintf("kubectl -n %s delete pod %s", h.workload.Namespace, h.failing),
		})
	}
	return out
}

// argument names a workload as kubectl takes it: deployment/front.
func argument(s finding.Subject) string { return strings.ToLower(s.Kind) + "/" + s.Name }

// templatePaths lead from a workload to its pods' template.
var templatePaths = map[string]string{
	"Deployment": ".spec.template", "ReplicaSet": ".spec.template", "StatefulSet": ".spec.template",
	"DaemonSet": ".spec.template", "ReplicationController": ".spec.template", "Job": ".spec.template", "CronJob": ".spec.jobTemplate.spec.template",
}

// podField is the path of a field of the pod spec within a workload.
func podField(workload finding.Subject, path string) string {
	return templatePaths[workload.Kind] + ".spec" + path
}

// containerField is the path of a container's field within a workload.
func containerField(workload finding.Subject, container string, isInit bool, path string) string {
	list := ".containers["
	if isInit {
		list = ".initContainers["
	}
	return podField(workload, list+container+"]"+path)
}

// edit says how a field of a workload is corrected.
func edit(workload finding.Subject, pods []*corev1.Pod, field string) finding.Remedy {
	switch {
	case isStatic(pods):
		return editManifest(pods[0], field)
	case workload.Kind == "Job" || workload.Kind == "Pod" || templatePaths[workload.Kind] == "":
		return finding.Remedy{Text: finding.Textf("correct %s where %s %s is defined, and create it anew",
			"%[2]s %[3]s의 정의에서 %[1]s 값을 바로잡고 다시 생성합니다", field, workload.Kind, finding.Qualified(workload))}
	default:
		return finding.Remedy{
			Text:    finding.Textf("correct %s", "%s 값을 바로잡습니다", field),
			Command: fmt.Sprintf("kubectl -n %s edit %s", workload.Namespace, argument(workload)),
		}
	}
}

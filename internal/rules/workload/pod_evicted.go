package workload

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "PodEvicted",
	Title: finding.Textf("kubelet evicts pods of the workload", "kubelet이 workload의 Pod를 축출합니다"),
	Doc: finding.Textf(
		"A kubelet ended pods of a workload within the last half hour: they used more local storage than their own limit allows, their node ran short of memory, disk or process ids, it made room for a critical pod, or it "+
			"was shut down. A warning where the workload has fewer Ready pods than it wants, where nobody makes the pod anew, or where it is evicted again and again for a limit of its own; otherwise no more than a remark. "+
			"What the node itself lacks is told by the finding about the node. Silent for evicted pods of longer ago, which stay as records, and for pods that the API evicted, as a drain does.",
		"최근 30분 사이에 kubelet이 workload의 Pod를 종료시켰습니다. 로컬 스토리지 limit을 넘었거나, 노드의 메모리·디스크·프로세스 수가 부족했거나, 중요한 Pod의 자리를 만들었거나, 노드가 종료되는 경우입니다. "+
			"workload의 Ready Pod가 부족하거나, 다시 생성할 controller가 없거나, 자체 limit 때문에 반복해서 축출되면 warning이고, 그 밖에는 참고로만 알립니다. "+
			"노드에 부족한 것은 노드에 대한 문제로 알립니다. 기록으로 남아 있는 오래된 Evicted Pod와 drain처럼 API로 축출한 Pod는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
	Severity: finding.Warning,
	Needs:    containerNeeds(),
	Detect:   detectPodEvicted,
})

// endedLately is how long ago a kubelet may have ended a pod for it to be more than a record.
const endedLately = 30 * time.Minute

// evictionClue is why a kubelet ended a pod, by the words of its eviction manager
// (k8s.io/kubernetes/pkg/kubelet/eviction/helpers.go), of its preemption and its shutdown manager.
type evictionClue struct {
	text *regexp.Regexp
	// own tells that the pod went beyond a limit of its own.
	own   bool
	field string
	says  finding.Text
}

var evictionClues = []evictionClue{
	{
		regexp.MustCompile(`exceeded its local ephemeral storage limit|Pod ephemeral local storage usage exceeds`), true, ".containers[*].resources.limits.ephemeral-storage",
		finding.Textf("they use more local storage than their limit allows", "로컬 스토리지 사용량이 limit을 넘었습니다"),
	},
	{
		regexp.MustCompile(`Usage of EmptyDir volume`), true, ".volumes[*].emptyDir.sizeLimit",
		finding.Textf("an emptyDir volume grows beyond its limit", "emptyDir volume이 sizeLimit을 넘었습니다"),
	},
	{
		regexp.MustCompile(`low on resource: memory|MemoryPressure`), false, "",
		finding.Textf("the node ran short of memory", "노드의 메모리가 부족했습니다"),
	},
	{
		regexp.MustCompile(`low on resource: (?:ephemeral-storage|inodes|nodefs|imagefs)|DiskPressure`), false, "",
		finding.Textf("the node's disk ran full", "노드의 디스크가 부족했습니다"),
	},
	{
		regexp.MustCompile(`low on resource: pids|PIDPressure`), false, "",
		finding.Textf("the node ran out of process ids", "노드의 프로세스 수가 한도에 이르렀습니다"),
	},
	{
		regexp.MustCompile(`Preempted in order to admit critical pod`), false, "",
		finding.Textf("the node needed their room for a critical pod", "중요한 Pod를 받기 위해 자리를 비웠습니다"),
	},
	{
		regexp.MustCompile(`node shutdown`), false, "",
		finding.Textf("the node is being shut down", "노드가 종료되고 있습니다"),
	},
}

// evictions are the reasons of pods that a kubelet ended while they ran (pkg/kubelet/eviction,
// pkg/kubelet/preemption, pkg/kubelet/nodeshutdown).
var evictions = []string{"Evicted", "Preempting", "Terminated"}

// evictedPod is a pod that a kubelet ended lately.
type evictedPod struct {
	pod  *corev1.Pod
	at   time.Time
	clue evictionClue
}

func detectPodEvicted(p *rule.Pass) {
	var found []evictedPod
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		if pod.Status.Phase != corev1.PodFailed || !slices.Contains(evictions, pod.Status.Reason) {
			continue
		}
		at := endedAt(p.Snapshot, pod)
		if at.IsZero() || p.Now().Sub(at) > endedLately {
			continue
		}
		e := evictedPod{pod: pod, at: at}
		for _, c := range evictionClues {
			if c.text.MatchString(pod.Status.Message) {
				e.clue = c
				break
			}
		}
		found = append(found, e)
	}
	for _, g := range groupBy(found, func(e evictedPod) finding.Subject { return p.Workload(e.pod) }) {
		slices.SortStableFunc(g.Items, func(a, b evictedPod) int { return b.at.Compare(a.at) })
		p.Report(podEvicted(p, g))
	}
}

// endedAt is when a pod was ended: by its DisruptionTarget condition, its containers, or the event
// with the reason of its status; zero where nothing tells.
func endedAt(s *snapshot.Snapshot, p *corev1.Pod) time.Time {
	if c := snapshot.PodCondition(p, corev1.DisruptionTarget); c != nil && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
		return c.LastTransitionTime.Time
	}
	var last time.Time
	for _, c := range p.Status.ContainerStatuses {
		if t := c.State.Terminated; t != nil && t.FinishedAt.After(last) {
			last = t.FinishedAt.Time
		}
	}
	if !last.IsZero() {
		return last
	}
	for _, e := range s.PodEvents(p) {
		if e.Reason == p.Status.Reason {
			return snapshot.EventTime(e)
		}
	}
	return time.Time{}
}

func podEvicted(p *rule.Pass, g group[evictedPod]) finding.Finding {
	last := g.Items[0]
	pods := distinctPods(g.Items, func(e evictedPod) *corev1.Pod { return e.pod })
	says := last.clue.says
	if says.IsZero() {
		says = finding.Format("in its words: %s", "kubelet 메시지: %s", inQuotes(last.pod.Status.Message))
	}
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismKilled, Since: g.Items[len(g.Items)-1].at, Explains: podSubjects(pods),
		Title: finding.Format("%s: the kubelet on %s ended %s: %s", "%s: 노드 %s의 kubelet이 %s를 종료시켰습니다. %s", finding.Verbatim(finding.Qualified(g.Subject)), finding.List(nodesOf(pods)), finding.Pods(len(pods)), says),
		Evidence: []finding.Evidence{{
			Source: finding.Named(podSubject(last.pod)), Path: ".status.message", Value: finding.Quote(last.pod.Status.Reason + ": " + last.pod.Status.Message), At: finding.Timestamp(last.at),
		}},
	}
	h := historyOf(p.Snapshot, g.Subject, pods)
	short, note := h.short(pods[0])
	switch {
	case last.clue.own:
		f.Mechanism, f.Field = v1alpha1.MechanismExhausted, podField(g.Subject, last.clue.field)
		f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
		short = short || len(g.Items) > 1
	default:
		f.WaitsFor = nodeSubjects(pods)
		// Its successor needs a moment, as whenever a node is shut down for an upgrade.
		f.Settling = controllerOf(last.pod) != "" && p.Now().Sub(last.at) < unreadyAfter
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text:    finding.Textf("see what the node lacks, and who asked for less than they use", "노드에 무엇이 부족한지, 요청보다 많이 쓰는 Pod가 있는지 확인합니다"),
			Command: "kubectl describe node " + last.pod.Spec.NodeName,
		})
	}
	if !short {
		f.Severity = finding.Info
	} else {
		f = claimWorkload(f)
	}
	f.Why = finding.Join("; ", inQuotes(strings.TrimSpace(last.pod.Status.Message)), note)
	f.Remedies.Later = []finding.Remedy{{
		Text: finding.Textf("give its containers requests by what they use: who stays within them is evicted last", "실제 사용량에 맞게 request를 지정하십시오. request 이내로 사용하는 Pod는 마지막에 축출됩니다"),
		Command: fmt.Sprintf("kubectl -n %s get pods -o 'custom-columns=NAME:.metadata.name,REQUESTS:.spec.containers[*].resources.requests'",
			g.Subject.Namespace),
	}}
	return f
}

// nodeSubjects names the nodes of pods.
func nodeSubjects(pods []*corev1.Pod) []finding.Subject {
	var out []finding.Subject
	for _, name := range nodesOf(pods) {
		out = append(out, finding.Subject{Kind: "Node", Name: name})
	}
	return out
}

// short tells whether a workload has fewer Ready pods than it wants, now that one of its pods has been
// ended for good, and says so.
func (h history) short(ended *corev1.Pod) (bool, finding.Text) {
	ready := h.older + h.same
	switch {
	case controllerOf(ended) == "":
		return true, finding.Textf("no controller makes it anew", "다시 생성할 controller가 없습니다")
	case h.workload.Kind == "Job" || h.workload.Kind == "CronJob":
		return false, finding.Textf("its Job makes another as long as its backoffLimit allows", "backoffLimit 안에서 Job이 다시 생성합니다")
	case ready == 0:
		return true, finding.Textf("no pod of it is Ready now", "지금 Ready인 Pod가 없습니다")
	case h.wanted > 0 && ready < int(h.wanted):
		return true, finding.Textf("%d Ready of %d wanted", "Ready Pod %d개, 필요 %d개", ready, h.wanted)
	default:
		return false, finding.Textf("other pods of it are Ready (%d)", "다른 Pod는 Ready입니다(%d개)", ready)
	}
}

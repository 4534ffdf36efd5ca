package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// pressure is one resource of which a kubelet can run low.
type pressure struct {
	condition corev1.NodeConditionType
	// of is what is short, in Korean as the subject of a sentence.
	of finding.Text
	// starved are the resources that evicted pods name (k8s.io/kubernetes/pkg/kubelet/eviction/helpers.go).
	starved []string
	// events of the node that tell how it came (k8s.io/kubernetes/pkg/kubelet/events/event.go and
	// eviction/eviction_manager.go; SystemOOM of oom_watcher_linux.go).
	events []string
	// measured reads the kubelet's measurement; empty where it has none.
	measured func(stats.Summary) finding.Text
	// hog names the pod that uses the most, where the kubelet tells.
	hog func(stats.Summary) (pod stats.PodReference, used uint64)
	// limit is the resource whose limit the pods lack that may take all of it.
	limit corev1.ResourceName
	// now and later are what to do on the machine.
	now, later []finding.Remedy
}

// pressureNeeds is what detect of a pressure reads.
func pressureNeeds() []rule.Need {
	return append([]rule.Need{
		rule.Any[*corev1.Node](), rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Event](), rule.Optional[*coordinationv1.Lease](),
	}, rule.Owners()...)
}

// recent is how old an eviction or an event may be to belong to a pressure that has lasted less.
const recent = time.Hour

// detect reports the nodes whose living kubelet says that it runs low.
func (x pressure) detect(p *rule.Pass) {
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		c := snapshot.NodeCondition(n, x.condition)
		if c == nil || c.Status != corev1.ConditionTrue || p.Writer(snapshot.KubeletOn(n.Name)).State == snapshot.Dead {
			continue
		}
		p.Report(x.report(p, n, c))
	}
}

func (x pressure) report(p *rule.Pass, n *corev1.Node, c *corev1.NodeCondition) finding.Finding {
	f := finding.Finding{
		Subject: snapshot.SubjectOf(n), Mechanism: v1alpha1.MechanismExhausted, Since: c.LastTransitionTime.Time,
		Title: finding.Format("node %s runs out of %s", "노드 %s: %s 부족합니다", finding.Verbatim(n.Name), x.of),
		Evidence: []finding.Evidence{{
			Source: "Node " + n.Name, Path: fmt.Sprintf(".status.conditions[%s]", c.Type),
			Value: finding.Quote(fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)), At: finding.Timestamp(c.LastTransitionTime.Time),
		}},
		RuledOut: kubeletLives(p.Snapshot, n),
		Remedies: finding.Remedies{Later: x.later},
	}
	for _, r := range x.now {
		r.Machine = n.Name
		f.Remedies.Now = append(f.Remedies.Now, r)
	}
	evicted := x.evicted(p, n.Name, c.LastTransitionTime.Time)
	workloads := map[string]bool{}
	for _, pod := range evicted {
		f.Explains = append(f.Explains, snapshot.SubjectOf(pod))
		if w := p.Workload(pod); w.Kind != "Pod" && !workloads[finding.Named(w)] {
			workloads[finding.Named(w)] = true
			f.Explains = append(f.Explains, w)
		}
	}
	why := []finding.Text{finding.Format("Its kubelet says so (%s), and takes no more pods.", "kubelet이 %s condition으로 알리고 있으며 새 Pod를 받지 않습니다.", finding.Verbatim(string(x.condition)))}
	if value, ok := x.measure(p, n.Name); ok {
		why = append(why, value.says)
		f.Evidence = append(f.Evidence, value.evidence)
	}
	if len(evicted) > 0 {
		last := evicted[len(evicted)-1]
		why = append(why, finding.Format("It evicted %s (%s); of %s it says: %s.", "%s를 eviction했습니다(%s). %s에 대한 메시지: %s.", finding.Pods(len(evicted)), finding.List(sortedKeys(workloads)),
			finding.Verbatim(last.Namespace+"/"+last.Name), finding.Verbatim(strings.TrimSuffix(finding.Quote(last.Status.Message), "."))))
		f.Evidence = append(f.Evidence, finding.Evidence{
			Source: finding.Named(snapshot.SubjectOf(last)), Path: ".status.message", Value: finding.Quote(last.Status.Message),
		})
	}
	for _, e := range x.told(p, n.Name, c.LastTransitionTime.Time) {
		f.Evidence = append(f.Evidence, eventEvidence(e))
	}
	if pods := x.unlimited(p, n.Name); len(pods) > 0 {
		why = append(why, finding.Format("Pods there without a limit on it: %s.", "이 자원에 limit이 없는 Pod: %s.", finding.List(pods)))
	}
	f.Why = finding.Join(" ", append(why, carries(p.Snapshot, n))...)
	return f
}

// evicted are the pods that the node's kubelet ended for want of the resource during this pressure or
// shortly before, oldest first as far as they say.
func (x pressure) evicted(p *rule.Pass, node string, since time.Time) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range p.PodsOn(node) {
		if pod.Status.Phase != corev1.PodFailed || pod.Status.Reason != "Evicted" ||
			!slices.ContainsFunc(x.starved, func(name string) bool { return strings.Contains(pod.Status.Message, name) }) {
			continue
		}
		if at := endOf(pod); !at.IsZero() && at.Before(since.Add(-recent)) {
			continue
		}
		out = append(out, pod)
	}
	slices.SortStableFunc(out, func(a, b *corev1.Pod) int { return endOf(a).Compare(endOf(b)) })
	return out
}

// endOf is when a pod was ended by a disruption, or when its last container was; the zero time where it
// does not say.
func endOf(pod *corev1.Pod) time.Time {
	if c := snapshot.PodCondition(pod, corev1.DisruptionTarget); c != nil {
		return c.LastTransitionTime.Time
	}
	var end time.Time
	for i := range pod.Status.ContainerStatuses {
		if t := pod.Status.ContainerStatuses[i].State.Terminated; t != nil {
			end = finding.Later(end, t.FinishedAt.Time)
		}
	}
	return end
}

// told are the node's newest events of each telling reason, in order.
func (x pressure) told(p *rule.Pass, node string, since time.Time) []*corev1.Event {
	newest := map[string]*corev1.Event{}
	for _, e := range p.EventsOf(finding.Subject{Kind: "Node", Name: node}) {
		if slices.Contains(x.events, e.Reason) && snapshot.EventTime(e).After(since.Add(-recent)) {
			newest[e.Reason] = e
		}
	}
	out := make([]*corev1.Event, 0, len(newest))
	for _, reason := range sortedKeys(newest) {
		out = append(out, newest[reason])
	}
	slices.SortStableFunc(out, func(a, b *corev1.Event) int { return snapshot.EventTime(a).Compare(snapshot.EventTime(b)) })
	return out[:min(3, len(out))]
}

// measure asks the kubelet how much is left, and who uses the most.
func (x pressure) measure(p *rule.Pass, node string) (word, bool) {
	a, ok := p.Ask(snapshot.Question{Kind: snapshot.KubeletStats, Name: node})
	if !ok || a.Outcome != snapshot.Answered {
		return word{}, false
	}
	s, err := summary(a)
	if err != nil {
		return word{}, false
	}
	value := x.measured(s)
	if value.IsZero() {
		return word{}, false
	}
	w := word{
		says:     finding.Format("It measures: %s.", "kubelet의 측정값: %s.", value),
		evidence: finding.Evidence{Source: "kubelet on " + node, Path: "stats/summary", Value: value.EN, At: finding.Timestamp(a.At)},
	}
	if x.hog != nil {
		if pod, used := x.hog(s); used > 0 {
			w.says = finding.Join(" ", w.says, finding.Textf("Pod %s/%s uses the most: %s.", "가장 많이 쓰는 Pod는 %s/%s입니다(%s).", pod.Namespace, pod.Name, bytesText(used)))
			w.evidence.Value += fmt.Sprintf("; most: pod %s/%s %s", pod.Namespace, pod.Name, bytesText(used))
		}
	}
	return w, true
}

// summary reads what a kubelet answered of its measurements.
func summary(a snapshot.Answer) (stats.Summary, error) {
	var s stats.Summary
	if err := json.Unmarshal([]byte(a.Text), &s); err != nil {
		return s, fmt.Errorf("reading a kubelet's measurements: %w", err)
	}
	return s, nil
}

// unlimited are the running pods on a node that may take all of the resource.
func (x pressure) unlimited(p *rule.Pass, node string) []string {
	if x.limit == "" {
		return nil
	}
	var out []string
	for _, pod := range p.PodsOn(node) {
		if snapshot.PodDone(pod) || pod.Namespace == "kube-system" {
			continue
		}
		if slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { _, ok := c.Resources.Limits[x.limit]; return !ok }) {
			out = append(out, pod.Namespace+"/"+pod.Name)
		}
	}
	return out
}

// bytesText is a number of bytes as Kubernetes writes it, to three figures or so.
func bytesText(n uint64) string {
	const mi = 1 << 20
	if n < 10*mi {
		return fmt.Sprintf("%dKi", n>>10)
	}
	return resource.NewQuantity(int64(n/mi)*mi, resource.BinarySI).String() //nolint:gosec // a machine's bytes fit into 63 bits
}

// part tells how much of a whole is left.
func part(name string, left, all *uint64) finding.Text {
	if left == nil || all == nil || *all == 0 {
		return finding.Text{}
	}
	return finding.Textf("%s %s of %s free (%d %%)", "%s %[3]s 중 %[2]s 남음(%[4]d%%)", name, bytesText(*left), bytesText(*all), *left*100 / *all)
}

package probe

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/snapshot"
)

// simulate plays what the remedies of a finding would make of its containers through the kubelet's own loop, with
// what was observed of their starts, and says what came of it. A patch that does not hold in its own simulation is not
// recommended: its remedy loses its command.
func simulate(s *snapshot.Snapshot, f *finding.Finding) []finding.Text {
	var out []finding.Text
	for _, remedies := range []*[]finding.Remedy{&f.Remedies.Now, &f.Remedies.Later} {
		*remedies = slices.Clone(*remedies)
		for i := range *remedies {
			remedy := &(*remedies)[i]
			patch, ok := probes.PatchOf(*remedy)
			if !ok || patch.Type != "strategic" {
				continue
			}
			told, holds := simulatePatch(s.PodsOf(f.Subject), patch)
			out = append(out, told...)
			if !holds {
				remedy.Command = ""
				remedy.Text = sentence(remedy.Text, finding.Textf("no patch is recommended: this one does not hold when it is played", "시뮬레이션해 보니 효과가 없어 patch를 권하지 않습니다"))
			}
		}
	}
	return out
}

// podPatch is what a patch changes in the spec of pods.
type podPatch struct {
	InitContainers []json.RawMessage `json:"initContainers"`
	Containers     []json.RawMessage `json:"containers"`
}

// containersIn are the containers that a patch of a workload changes.
func containersIn(patch probes.Patch) ([]json.RawMessage, error) {
	type template struct {
		Spec podPatch `json:"spec"`
	}
	var workload struct {
		Spec struct {
			Template    template `json:"template"`
			JobTemplate struct {
				Spec struct {
					Template template `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(patch.Data, &workload); err != nil {
		return nil, fmt.Errorf("reading the patch of %s/%s: %w", patch.Kind, patch.Name, err)
	}
	direct, job := workload.Spec.Template.Spec, workload.Spec.JobTemplate.Spec.Template.Spec
	return slices.Concat(direct.InitContainers, direct.Containers, job.InitContainers, job.Containers), nil
}

// simulatePatch plays the containers that a patch changes, as they are and as it leaves them, and tells whether
// they hold then. What cannot be read is left to the API server to judge.
func simulatePatch(pods []*corev1.Pod, patch probes.Patch) (told []finding.Text, holds bool) {
	changes, err := containersIn(patch)
	if err != nil || len(pods) == 0 {
		return nil, true
	}
	newest := slices.MaxFunc(pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	holds = true
	for _, change := range changes {
		for _, c := range containersOf(newest) {
			after, ok := patchedContainer(c.spec, change)
			if !ok {
				continue
			}
			r := simulation{pod: &newest.Spec, before: c.spec, after: after}
			r.start, r.measured = measuredStart(pods, c.spec.Name)
			r.restarted = slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return restartsOf(statusOf(p, c.spec.Name)) > 0 })
			told = append(told, slicesOf([]finding.Text{r.starts(), r.pauses(probe.Liveness), r.pauses(probe.Readiness)})...)
			holds = holds && r.holds()
		}
	}
	return told, holds
}

// patchedContainer is a container as a patch leaves it; false where the patch is for another.
func patchedContainer(c *corev1.Container, change json.RawMessage) (*corev1.Container, bool) {
	var name struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(change, &name) != nil || name.Name != c.Name {
		return nil, false
	}
	now, err := json.Marshal(c)
	if err != nil {
		return nil, false
	}
	data, err := strategicpatch.StrategicMergePatch(now, change, corev1.Container{})
	if err != nil {
		return nil, false
	}
	out := &corev1.Container{}
	return out, json.Unmarshal(data, out) == nil
}

// longestMeasured is how long after its start a pod that became Ready can have been starting all the time.
const longestMeasured = 15 * time.Minute

// measuredStart is how long containers of a name took, in pods that are Ready, from their start to Ready: the longest,
// and of how many pods.
func measuredStart(pods []*corev1.Pod, name string) (longest time.Duration, measured int) {
	for _, pod := range pods {
		i := slices.IndexFunc(containersOf(pod), func(c place) bool { return c.spec.Name == name })
		ready, status := snapshot.PodCondition(pod, corev1.PodReady), statusOf(pod, name)
		if i < 0 || ready == nil || ready.Status != corev1.ConditionTrue || status == nil || status.State.Running == nil || status.RestartCount > 0 {
			continue
		}
		c := containersOf(pod)[i].spec
		if c.ReadinessProbe == nil && c.StartupProbe == nil {
			continue
		}
		took := ready.LastTransitionTime.Sub(status.State.Running.StartedAt.Time)
		if took <= 0 || took > longestMeasured || outlived(pod, c, took) {
			continue
		}
		longest, measured = max(longest, took), measured+1
	}
	return longest, measured
}

// outlived tells whether a container that was never restarted cannot have started for so long: its own probes would
// have killed it. It was ready before, then, and came back.
func outlived(pod *corev1.Pod, c *corev1.Container, took time.Duration) bool {
	asked := probe.Readiness.Of(c)
	if asked == nil {
		asked = c.StartupProbe
	}
	// The attempt before the one that succeeded had failed, a period earlier.
	start := max(0, took-probe.TimingOf(probe.Readiness, asked).Period)
	course := probe.Simulate(&pod.Spec, c, probe.Program{Start: start})
	return course.KilledBy != "" && course.Always
}

// simulation is of one container, as it is and as a patch leaves it.
type simulation struct {
	pod           *corev1.PodSpec
	before, after *corev1.Container
	// start is the longest that was measured, in so many pods.
	start    time.Duration
	measured int
	// restarted tells that a pod's has been.
	restarted bool
}

// reach is a time beyond all that the probes of both can bear.
func (r simulation) reach() time.Duration {
	var most time.Duration
	for _, c := range []*corev1.Container{r.before, r.after} {
		for _, kind := range probe.Kinds() {
			if spec := kind.Of(c); spec != nil {
				t := probe.TimingOf(kind, spec)
				most = max(most, t.StartupBudget(t.Timeout).Most)
			}
		}
	}
	return most + time.Minute
}

// spared is the longest start that a container of this sort is spared, where its probes have a say in it.
func (r simulation) spared(c *corev1.Container) time.Duration {
	spared, _ := probe.LongestStart(r.pod, c, 0, r.reach())
	return spared
}

// holds tells whether the container comes up with the starts that were measured. Where none was and it has been
// restarted, a startup probe that the patch changes must spare it more than it is spared now.
func (r simulation) holds() bool {
	if r.measured > 0 {
		return probe.Simulate(r.pod, r.after, probe.Program{Start: r.start}).Holds()
	}
	now := r.spared(r.before)
	return !r.restarted || r.after.StartupProbe == nil || now == r.reach() || paced(probe.Startup, r.before, r.after) || r.spared(r.after) > now
}

// paced tells whether two containers have a probe of a kind of the same pace.
func paced(kind probe.Kind, a, b *corev1.Container) bool {
	one, other := kind.Of(a), kind.Of(b)
	return one != nil && other != nil && probe.TimingOf(kind, one) == probe.TimingOf(kind, other)
}

// starts says what becomes of a start, where the patch makes a difference to one of some length.
func (r simulation) starts() finding.Text {
	before, after := r.spared(r.before), r.spared(r.after)
	if before == after {
		return finding.Text{}
	}
	if r.measured == 0 {
		return finding.Format("no start was seen to its end: as it is, %s; patched, %s", "끝까지 관측된 시작이 없습니다. 지금 설정에서는 %s. patch를 적용하면 %s",
			r.bears(before), r.bears(after))
	}
	program := probe.Program{Start: r.start}
	played := finding.Format("played with a start of %s, the longest of %s", "%[2]s에서 가장 오래 걸린 시작(%[1]s)으로 시뮬레이션했습니다", length(r.start), finding.Pods(r.measured))
	was, is := course(r.before, probe.Simulate(r.pod, r.before, program)), course(r.after, probe.Simulate(r.pod, r.after, program))
	if was == is {
		return finding.Format("%s: as it is and patched, %s", "%s. 지금 설정에서도 patch를 적용해도 %s", played, is)
	}
	return finding.Format("%s: as it is, %s; patched, %s", "%s. 지금 설정에서는 %s. patch를 적용하면 %s", played, was, is)
}

// bears says which starts are too long.
func (r simulation) bears(spared time.Duration) finding.Text {
	if spared == r.reach() {
		return finding.Textf("no start is too long", "시작이 아무리 길어도 종료되지 않습니다")
	}
	return finding.Format("one of more than %s can be killed", "시작이 %s보다 오래 걸리면 종료될 수 있습니다", length(spared))
}

// course in words.
func course(c *corev1.Container, of probe.Course) finding.Text {
	switch {
	case of.KilledBy != "" && of.Always:
		return finding.Format("killed %s after each start", "시작할 때마다 %s 뒤에 종료됩니다", span(of.Killed))
	case of.KilledBy != "":
		return finding.Format("killed %s after some starts", "시작한 지 %s 뒤에 종료되는 경우가 있습니다", span(of.Killed))
	case of.NeverReady:
		return finding.Textf("never ready", "Ready가 되지 않습니다")
	case c.ReadinessProbe == nil && c.StartupProbe == nil:
		return finding.Textf("never killed", "종료되지 않습니다")
	default:
		return finding.Format("never killed, and ready after %s", "종료되지 않고 %s 뒤에 Ready가 됩니다", span(of.Ready))
	}
}

// pauses says what becomes of a program that hangs for a while, where the patch makes a difference to it: to each kind
// of probe by itself, for the tightest would hide the others.
func (r simulation) pauses(kind probe.Kind) finding.Text {
	if kind.Of(r.before) == nil || kind.Of(r.after) == nil || paced(kind, r.before, r.after) {
		return finding.Text{}
	}
	bears := func(c *corev1.Container) time.Duration {
		alone := *c
		for _, other := range probe.Kinds() {
			if other != kind {
				without(&alone, other)
			}
		}
		pause, _ := probe.LongestPause(r.pod, &alone, probe.Program{}, r.reach())
		return pause
	}
	before, after := bears(r.before), bears(r.after)
	end := finding.Textf("have it killed", "종료될 수 있습니다")
	if kind == probe.Readiness {
		end = finding.Textf("take it out of its Services", "Service에서 빠질 수 있습니다")
	}
	switch {
	case before == after:
		return finding.Text{}
	case before > after:
		return finding.Format("played with pauses: as it is, one of more than %s can %s; patched, one of more than %s can already",
			"응답이 멈추는 경우를 시뮬레이션했습니다. 지금 설정에서는 %[1]s를 넘게 멈추면 %[2]s. patch를 적용하면 %[3]s까지만 견딥니다", length(before), end, length(after))
	default:
		return finding.Format("played with pauses: as it is, one of more than %s can %s; patched, only one of more than %s",
			"응답이 멈추는 경우를 시뮬레이션했습니다. 지금 설정에서는 %[1]s를 넘게 멈추면 %[2]s. patch를 적용하면 %[3]s까지 견딥니다", length(before), end, length(after))
	}
}

// without takes a container's probe of a kind away.
func without(c *corev1.Container, kind probe.Kind) {
	switch kind {
	case probe.Startup:
		c.StartupProbe = nil
	case probe.Readiness:
		c.ReadinessProbe = nil
	case probe.Liveness:
		c.LivenessProbe = nil
	}
}

package probe

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

// entry is one thing that happened while somebody watched.
type entry struct {
	at   time.Time
	pod  string
	text finding.Text
	// tone of what happened: worse or better.
	bad, good bool
}

// view is what is watched, by name.
type view struct {
	pods   map[string]*corev1.Pod
	events map[string]*corev1.Event
	slices map[string]*discoveryv1.EndpointSlice
}

// run is a row of failures of one probe.
type run struct {
	last   time.Time
	length int
	// earlier tells that it had begun before anybody watched, so that length is not all of it.
	earlier bool
}

// timeline tells what happened from one view to the next.
type timeline struct {
	runs    map[key]run
	entries []entry
}

// entriesKept bounds the memory of what happened.
const entriesKept = 200

// add takes in what is another in a later view, and returns what happened.
func (l *timeline) add(before, after view, services []*corev1.Service, now time.Time) []entry {
	var fresh []entry
	for _, name := range slices.Sorted(maps.Keys(after.events)) {
		fresh = append(fresh, l.told(before.events[name], after.events[name], after.pods)...)
	}
	slices.SortStableFunc(fresh, func(a, b entry) int { return a.at.Compare(b.at) })
	moved := movedIn(before, after)
	for _, name := range slices.Sorted(maps.Keys(mergedKeys(before.pods, after.pods))) {
		fresh = append(fresh, l.podChanged(before.pods[name], after.pods[name], now)...)
		if moved[name] {
			fresh = append(fresh, served(before, after, name, services, now)...)
		}
	}
	for _, e := range fresh {
		l.note(e)
	}
	return fresh
}

// note keeps what happened, and forgets the oldest of too much.
func (l *timeline) note(e entry) entry {
	l.entries = append(l.entries, e)
	l.entries = slices.Delete(l.entries, 0, max(0, len(l.entries)-entriesKept))
	return e
}

// movedIn are the pods whose place in a Service is another in a later view, by name: most changes of a large namespace
// are about a few.
func movedIn(before, after view) map[string]bool {
	out := map[string]bool{}
	if maps.Equal(before.slices, after.slices) {
		return out
	}
	type place struct{ service, pod string }
	in := func(v view) map[place]bool {
		ready := map[place]bool{}
		for _, slice := range v.slices {
			for i := range slice.Endpoints {
				if e := &slice.Endpoints[i]; e.TargetRef != nil {
					at := place{slice.Labels[discoveryv1.LabelServiceName], e.TargetRef.Name}
					ready[at] = ready[at] || e.Conditions.Ready == nil || *e.Conditions.Ready
				}
			}
		}
		return ready
	}
	was, is := in(before), in(after)
	for at, ready := range is {
		if old, listed := was[at]; !listed || old != ready {
			out[at.pod] = true
		}
	}
	for at := range was {
		if _, listed := is[at]; !listed {
			out[at.pod] = true
		}
	}
	return out
}

func mergedKeys[T any](a, b map[string]T) map[string]bool {
	out := make(map[string]bool, len(a)+len(b))
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// told is what a new event, or an old one that was seen again, says of probes.
func (l *timeline) told(before, after *corev1.Event, pods map[string]*corev1.Pod) []entry {
	seen := times(after)
	if before != nil {
		seen -= times(before)
	}
	pod := pods[after.InvolvedObject.Name]
	if seen <= 0 || pod == nil {
		return nil
	}
	e := evidence{pods: []*corev1.Pod{pod}}
	for _, o := range e.probes("") {
		is, message := o.tells(after)
		if is == nothing {
			continue
		}
		if _, known := l.runs[o.key()]; !known && before != nil && is == failed {
			l.runs[o.key()] = run{last: snapshot.EventTime(before), earlier: true}
		}
		text := l.words(o, is, seen, message, snapshot.EventTime(after))
		if text.IsZero() {
			return nil
		}
		return []entry{{at: snapshot.EventTime(after), pod: pod.Name, text: text, bad: is != warned}}
	}
	return nil
}

// words of an event about a probe. What failed is counted up to its threshold: the kubelet does not tell how far it is.
// Beyond it every failure is like the one before, and they are told each time that there are twice as many.
func (l *timeline) words(o one, is what, seen int, message string, at time.Time) finding.Text {
	name := strings.ToLower(string(o.kind))
	quote := finding.Verbatim(quoted(message))
	switch is {
	case killed:
		l.runs[o.key()] = run{}
		return finding.Textf("container %s is killed: its %s probe failed", "%s 컨테이너를 종료합니다: %s probe가 실패했습니다", o.container.Name, name)
	case discarded:
		return finding.Join(": ", finding.Textf("%s probe of %s errored, which does not count", "%[2]s의 %[1]s probe 오류(세지 않음)", name, o.container.Name), quote)
	case warned:
		return finding.Join(": ", finding.Textf("%s probe of %s succeeded with a warning", "%[2]s의 %[1]s probe가 경고와 함께 성공", name, o.container.Name), quote)
	case failed, nothing:
	}
	t := o.timing()
	r := l.runs[o.key()]
	// A success between two failures is told by nobody; a gap of more than a period tells it.
	if at.Sub(r.last) > t.Period+t.Pace(t.Timeout) {
		r = run{}
	}
	until := r.length
	r.last, r.length = at, r.length+seen
	l.runs[o.key()] = r
	if r.earlier {
		if until > 0 && bits.Len(uint(until)) == bits.Len(uint(r.length)) {
			return finding.Text{}
		}
		return finding.Join(": ", finding.Textf("%s probe of %s failed again, as before this watch began", "%[2]s의 %[1]s probe 또 실패(--watch 시작 전부터 이어짐)", name, o.container.Name), quote)
	}
	counted := func(n int) finding.Text {
		return finding.Join(": ", finding.Textf("%s probe of %s failed %d/%d", "%[2]s의 %[1]s probe 실패 %[3]d/%[4]d", name, o.container.Name, n, t.FailureThreshold), quote)
	}
	if r.length > t.FailureThreshold {
		switch {
		case until >= t.FailureThreshold && bits.Len(uint(until/t.FailureThreshold)) == bits.Len(uint(r.length/t.FailureThreshold)):
			return finding.Text{}
		case until < t.FailureThreshold && r.length < 2*t.FailureThreshold:
			// The one that counted came with the next: a container that is no longer ready is asked again at once.
			return counted(t.FailureThreshold)
		}
		return finding.Join(": ", finding.Textf("%s probe of %s failed, %d times in a row", "%[2]s의 %[1]s probe 실패, 연속 %[3]d회", name, o.container.Name, r.length), quote)
	}
	return counted(r.length)
}

// podChanged is what happened to a pod.
func (l *timeline) podChanged(before, after *corev1.Pod, now time.Time) []entry {
	switch {
	case before == nil:
		return []entry{{at: now, pod: after.Name, text: finding.Textf("the pod appeared", "Pod가 생성되었습니다")}}
	case after == nil:
		l.forget(before.Name)
		return []entry{{at: now, pod: before.Name, text: finding.Textf("the pod is gone", "Pod가 사라졌습니다")}}
	case before.UID != after.UID:
		l.forget(before.Name)
		return []entry{{at: now, pod: after.Name, text: finding.Textf("the pod is another one of the same name", "같은 이름의 새 Pod로 바뀌었습니다")}}
	}
	var out []entry
	add := func(good, bad bool, text finding.Text) {
		out = append(out, entry{at: now, pod: after.Name, text: text, good: good, bad: bad})
	}
	if before.DeletionTimestamp == nil && after.DeletionTimestamp != nil {
		add(false, false, finding.Textf("the pod is being deleted", "Pod 삭제가 시작되었습니다"))
	}
	for _, c := range containersOf(after) {
		old, is := statusOf(before, c.spec.Name), statusOf(after, c.spec.Name)
		if is == nil {
			continue
		}
		if old == nil {
			old = &corev1.ContainerStatus{}
		}
		if is.RestartCount > old.RestartCount {
			for _, kind := range probe.Kinds() {
				l.runs[key{after.Name, c.spec.Name, kind}] = run{}
			}
		}
		for _, text := range containerChanged(c.spec, old, is) {
			add(text.good, text.bad, text.text)
		}
	}
	if was, is := snapshot.PodReady(before), snapshot.PodReady(after); was != is {
		if is {
			add(true, false, finding.Textf("the pod is Ready", "Pod가 Ready입니다"))
		} else {
			add(false, true, finding.Textf("the pod is not Ready", "Pod가 Ready가 아닙니다"))
		}
	}
	return out
}

// forget forgets the failures of a pod that is gone.
func (l *timeline) forget(pod string) {
	maps.DeleteFunc(l.runs, func(of key, _ run) bool { return of.pod == pod })
}

// containerChanged is what happened to a container.
func containerChanged(c *corev1.Container, old, is *corev1.ContainerStatus) []entry {
	var out []entry
	if t := is.State.Terminated; t != nil && old.State.Terminated == nil {
		out = append(out, entry{bad: t.ExitCode != 0, text: finding.Textf("container %s ended with exit code %d", "%s 컨테이너가 종료 코드 %d로 끝났습니다", c.Name, t.ExitCode)})
	}
	if w := is.State.Waiting; w != nil && w.Reason == reasonBackOff && (old.State.Waiting == nil || old.State.Waiting.Reason != reasonBackOff) {
		out = append(out, entry{bad: true, text: finding.Textf("container %s waits before it is started again (CrashLoopBackOff)", "%s 컨테이너가 재시작을 기다립니다(CrashLoopBackOff)", c.Name)})
	}
	if is.RestartCount > old.RestartCount {
		text := finding.Textf("container %s was restarted (restart %d)", "%s 컨테이너를 재시작했습니다(%d번째)", c.Name, is.RestartCount)
		if last := is.LastTerminationState.Terminated; last != nil && old.State.Terminated == nil {
			text = finding.Join(". ", text, finding.Textf("The one before ended with exit code %d", "직전 컨테이너의 종료 코드는 %d입니다", last.ExitCode))
		}
		out = append(out, entry{text: text})
	}
	if c.StartupProbe != nil && isTrue(is.Started) && !isTrue(old.Started) {
		out = append(out, entry{good: true, text: finding.Textf("container %s has started: its startup probe succeeded", "%s 컨테이너가 시작되었습니다: startup probe가 성공했습니다", c.Name)})
	}
	if old.Ready != is.Ready && c.ReadinessProbe != nil {
		if is.Ready {
			out = append(out, entry{good: true, text: finding.Textf("container %s is ready", "%s 컨테이너가 준비되었습니다", c.Name)})
		} else {
			out = append(out, entry{bad: true, text: finding.Textf("container %s is not ready", "%s 컨테이너가 준비되지 않은 상태가 되었습니다", c.Name)})
		}
	}
	return out
}

// reasonBackOff is why a container waits that ends again and again
// (k8s.io/kubernetes/pkg/kubelet/kuberuntime, ErrCrashLoopBackOff).
const reasonBackOff = "CrashLoopBackOff"

func isTrue(b *bool) bool { return b != nil && *b }

// served is which Services a pod got out of, and came back into.
func served(before, after view, name string, services []*corev1.Service, now time.Time) []entry {
	pod := cmp.Or(after.pods[name], before.pods[name])
	in := func(v view) map[string]membership {
		e := evidence{services: services, slices: slices.Collect(maps.Values(v.slices))}
		out := map[string]membership{}
		for _, m := range e.memberships(pod) {
			out[m.service] = m
		}
		return out
	}
	was, is := in(before), in(after)
	var out []entry
	for _, service := range slices.Sorted(maps.Keys(mergedKeys(was, is))) {
		old, current := was[service], is[service]
		switch {
		case old.ready && !current.ready && len(current.others) == 0:
			out = append(out, entry{at: now, pod: name, bad: true, text: finding.Textf("out of Service %s, which has no ready endpoint now", "Service %s에서 빠졌습니다. 준비된 endpoint가 없습니다", service)})
		case old.ready && !current.ready:
			out = append(out, entry{at: now, pod: name, bad: true, text: finding.Textf("out of Service %s; ready endpoints left: %d%s", "Service %s에서 빠졌습니다. 남은 준비된 endpoint: %d개%s", service, len(current.others), current.named())})
		case !old.ready && current.ready && old.listed:
			out = append(out, entry{at: now, pod: name, good: true, text: finding.Textf("back in Service %s", "Service %s로 돌아왔습니다", service)})
		case !old.ready && current.ready:
			out = append(out, entry{at: now, pod: name, good: true, text: finding.Textf("in Service %s", "Service %s에 들어갔습니다", service)})
		}
	}
	return out
}

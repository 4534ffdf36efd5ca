package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// storm is a liveness probe that had several replicas killed at once.
type storm struct {
	probe

	seen   observation
	killed []*corev1.Pod
	// first and last kill of the storm.
	first, last time.Time
	nodes       []string
	means       kubelet.Meaning
}

// stormed tells whether at least half of a family's pods, on several nodes, were killed by one liveness probe
// within the time that it takes to notice anything, for one and the same reason, and after they had answered.
func stormed(s *snapshot.Snapshot, f *family) (storm, bool) {
	if len(f.pods) < 2 {
		return storm{}, false
	}
	for at := range f.places(f.pods[0]) {
		if at.container.LivenessProbe == nil {
			continue
		}
		st := storm{probe: probe{at, liveness, at.container.LivenessProbe}}
		if st.find(s) {
			return st, true
		}
	}
	return storm{}, false
}

func (st *storm) find(s *snapshot.Snapshot) bool {
	for _, pod := range st.of.pods {
		killed := st.observe(s, []*corev1.Pod{pod}, "Killing", func(e *corev1.Event) bool { return strings.Contains(e.Message, "failed liveness probe") })
		if killed.count == 0 || s.Now().Sub(killed.last) > window || !st.answeredBefore(pod, killed.last) {
			continue
		}
		st.killed = append(st.killed, pod)
		st.first, st.last = finding.Earlier(st.first, killed.last), finding.Later(st.last, killed.last)
		st.nodes = append(st.nodes, pod.Spec.NodeName)
	}
	slices.Sort(st.nodes)
	st.nodes = slices.Compact(st.nodes)
	if len(st.killed) < 2 || 2*len(st.killed) < len(st.of.pods) || len(st.nodes) < 2 || st.last.Sub(st.first) > notices(st.timing())+slack {
		return false
	}
	return st.failsAlike(s)
}

// answeredBefore tells whether the run that a probe ended had lasted so long that it must have answered: what
// is killed while it starts is another matter.
func (st *storm) answeredBefore(pod *corev1.Pod, killed time.Time) bool {
	at, ok := st.in(pod)
	if !ok || at.status() == nil {
		return false
	}
	end := at.status().LastTerminationState.Terminated
	if end == nil {
		end = at.status().State.Terminated
	}
	return end != nil && !failedFromStart(st.timing(), killed.Sub(end.StartedAt.Time)) && killed.Sub(end.StartedAt.Time) > begun
}

// failsAlike tells whether the probe failed in the same way on all that were killed: it got an answer that says
// no, or none in time. A program that is gone refuses connections.
func (st *storm) failsAlike(s *snapshot.Snapshot) bool {
	meanings := map[kubelet.Meaning]int{}
	st.seen = st.observe(s, st.killed, "Unhealthy", func(e *corev1.Event) bool {
		if !st.failed(e) || snapshot.EventTime(e).Before(st.first.Add(-notices(st.timing())-slack)) {
			return false
		}
		st.means = kubelet.MeaningOf(st.spec, output(e))
		meanings[st.means]++
		return true
	})
	shared := st.means == kubelet.MeansIll || st.means == kubelet.MeansSlow || st.means == kubelet.MeansCommandFailed
	return len(meanings) == 1 && shared && len(st.seen.pods) == len(st.killed)
}

func (st storm) finding(p *rule.Pass) finding.Finding {
	f, name := st.of, finding.Named(st.of.workload)
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Since: st.first, Field: st.field(""), Confidence: v1alpha1.ConfidenceMedium,
		Explains: f.claims(st.killed),
		Title: finding.Textf("%s: %d of %d pods were killed by the liveness probe of container %s within %d s: it asks for something that they share",
			"%s: Pod %[3]d개 가운데 %[2]d개가 %[5]d초 안에 %[4]s 컨테이너의 liveness probe로 종료되었습니다. probe가 함께 쓰는 대상을 확인하고 있습니다",
			name, len(st.killed), len(f.pods), st.container.Name, seconds(st.last.Sub(st.first))),
		Why: finding.Join("; ",
			finding.Format("they ran on %s, had answered before, and were killed between %s and %s; one probe takes up to %s s to notice", "%s에서 실행되며 그 전에는 응답했고 %s부터 %s 사이에 종료되었습니다; probe 하나가 알아차리는 데 최대 %s초가 걸립니다",
				finding.List(st.nodes), finding.Verbatim(st.first.UTC().Format("15:04:05 UTC")), finding.Verbatim(st.last.UTC().Format("15:04:05 UTC")), finding.Verbatim(noticing(st.timing()))),
			finding.Format("the probe (%s) said on all of them: %s", "probe(%s)가 모두에서 알린 내용: %s", finding.Verbatim(st.asks()), finding.Verbatim(finding.Quote(output(st.seen.latest)))),
			finding.Textf("a restart mends nothing that others lack, and takes connections and caches with it", "다른 곳에서 부족한 것은 재시작으로 해결되지 않으며 연결과 캐시만 잃습니다"), unread(p.Snapshot)),
		Evidence: append([]finding.Evidence{{Source: name, Path: st.field(""), Value: st.asks()}}, st.seen.evidence()...),
		RuledOut: []finding.Statement{{Text: finding.Textf("the nodes: the pods are on several", "노드 문제가 아닙니다. Pod가 여러 노드에 있습니다")}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{st.remedy(p.Snapshot)},
			Later: []finding.Remedy{{
				Text:    finding.Textf("see what the program itself missed", "프로그램이 무엇이 부족했다고 하는지 확인합니다"),
				Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --previous --tail=50", st.killed[0].Namespace, st.killed[0].Name, st.container.Name),
			}},
		},
	}
	if p.Now().Sub(st.last) > lately {
		out.Severity = finding.Info
	}
	return out
}

// remedy has liveness ask only what a restart mends.
func (st storm) remedy(s *snapshot.Snapshot) finding.Remedy {
	if st.spec.HTTPGet == nil && st.spec.GRPC == nil {
		return st.edit("", finding.Textf("let liveness ask only what a restart mends, and nothing of others", "liveness는 재시작으로 해결되는 것만 확인하고 다른 것에 의존하지 않게 합니다"))
	}
	return st.mend(s, fields{st.name(): st.replaceHandler(fields{"tcpSocket": fields{"port": st.portValue()}})},
		finding.Textf("let liveness ask only whether the program takes connections, until it has a path that asks nothing of others", "다른 것에 의존하지 않는 경로가 생길 때까지 liveness는 연결을 받는지만 확인하게 합니다"))
}

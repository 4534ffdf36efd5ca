package probes

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeCascade",
	Title: finding.Textf("all replicas failed their probe at once", "모든 replica의 probe가 동시에 실패했습니다"),
	Doc: finding.Textf(
		"All pods of a workload, on several nodes, ceased to be ready within the time that one readiness probe takes to notice (failureThreshold x periodSeconds + timeoutSeconds), while their containers run on: programs do not fall ill "+
			"together, so the probe asks for something that they share, such as a database. It takes every replica out of service where the program could have served part of its work or an error that says what is missing, and it brings them all "+
			"back at once. With a liveness probe it is worse: at least half of the pods, on several nodes, are killed within that time for one and the same reason, after they had answered for long, and the restarts are explained by that. It is told beside the finding about the probe itself, which names what is waited for. Left alone: workloads with fewer than two pods or on one node, pods that were never ready, that restarted since or whose node does not "+
			"report, rollouts, and refused connections, which show programs that are gone.",
		"여러 노드에 있는 워크로드의 모든 Pod가 readiness probe 하나가 이상을 알아차리는 시간(failureThreshold x periodSeconds + timeoutSeconds) 안에 함께 Ready에서 벗어났고 컨테이너는 계속 실행 중입니다. 프로그램이 동시에 고장 나지는 않으므로 probe가 "+
			"데이터베이스처럼 함께 쓰는 것을 확인하고 있습니다. 일부 기능이나 무엇이 부족한지 알려 주는 오류라도 제공할 수 있는데 모든 replica가 서비스에서 빠지고, 회복할 때도 한꺼번에 돌아옵니다. liveness probe라면 더 나쁩니다. 여러 노드에서 Pod의 절반 이상이 그 시간 안에 같은 이유로 종료된 경우(그 전에는 오래 응답했던 Pod)이며 재시작의 원인으로 알립니다. 무엇을 기다리는지는 probe 실패를 다루는 규칙이 알립니다. "+
			"Pod가 둘 미만이거나 한 노드에만 있는 경우, Ready였던 적이 없거나 그 뒤에 재시작했거나 노드의 보고가 끊긴 Pod, rollout, 프로그램이 사라졌음을 뜻하는 연결 거부는 제외합니다."),
	Link:     probeConcepts + "#readiness-probe",
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event](), rule.Optional[*coordinationv1.Lease]()),
	For:      time.Minute,
	Causes:   []rule.Cause{{Code: "ReadinessProbeFailing", Via: rule.Itself}},
	Detect: func(p *rule.Pass) {
		all := familiesOf(p.Snapshot)
		for i, f := range all {
			// With a version before, a rollout may be what they have in common.
			if f.newest && (i+1 == len(all) || all[i+1].workload != f.workload) {
				if c, ok := cascaded(p.Snapshot, f); ok {
					p.Report(c.finding(p))
				} else if st, ok := stormed(p.Snapshot, f); ok {
					p.Report(st.finding(p))
				}
			}
		}
	},
})

// cascade is a probe that took all pods of a family out of service at once.
type cascade struct {
	probe

	seen        observation
	first, last time.Time
	nodes       []string
}

// cascaded tells whether all pods of a family ceased to be ready together, and by which probe.
func cascaded(s *snapshot.Snapshot, f *family) (cascade, bool) {
	var c cascade
	if len(f.pods) < 2 {
		return c, false
	}
	for _, pod := range f.pods {
		if snapshot.PodReady(pod) || !snapshot.WasReady(pod) || pod.Spec.NodeName == "" || s.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead {
			return c, false
		}
		since := snapshot.NotReadySince(pod)
		c.first, c.last = finding.Earlier(c.first, since), finding.Later(c.last, since)
		c.nodes = append(c.nodes, pod.Spec.NodeName)
	}
	slices.Sort(c.nodes)
	c.nodes = slices.Compact(c.nodes)
	if len(c.nodes) < 2 {
		return c, false
	}
	for at := range f.places(f.pods[0]) {
		if at.container.ReadinessProbe == nil {
			continue
		}
		c.probe = probe{at, readiness, at.container.ReadinessProbe}
		if c.last.Sub(c.first) <= notices(c.timing())+slack && c.failsOnAll(s) {
			return c, true
		}
	}
	return c, false
}

// failsOnAll tells whether the container runs and is not ready in all pods, without a restart since, and its
// probe gets an answer that says no, or none in time.
func (c *cascade) failsOnAll(s *snapshot.Snapshot) bool {
	for _, pod := range c.of.pods {
		at, ok := c.in(pod)
		if !ok {
			return false
		}
		st := at.status()
		if st == nil || st.Ready || st.State.Running == nil || st.State.Running.StartedAt.After(c.first) {
			return false
		}
	}
	c.seen = c.observe(s, c.of.pods, "Unhealthy", func(e *corev1.Event) bool {
		if !c.failed(e) || snapshot.EventTime(e).Before(c.first.Add(-slack)) {
			return false
		}
		switch kubelet.MeaningOf(c.spec, output(e)) {
		case kubelet.MeansIll, kubelet.MeansSlow, kubelet.MeansCommandFailed:
			return true
		default:
			return false
		}
	})
	return len(c.seen.pods) > 1 || len(c.seen.pods) == len(c.of.pods)
}

func (c cascade) finding(p *rule.Pass) finding.Finding {
	f, t, n := c.of, c.timing(), len(c.of.pods)
	name := finding.Named(f.workload)
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Since: c.first, Field: c.field(""), Confidence: v1alpha1.ConfidenceMedium,
		Explains: f.claims(f.pods),
		Title: finding.Textf("%s: all %d pods failed the readiness probe of container %s within %d s: it asks for something that they share",
			"%s: Pod %d개 모두가 %[4]d초 안에 %[3]s 컨테이너의 readiness probe에 실패했습니다. probe가 함께 쓰는 대상을 확인하고 있습니다", name, n, c.container.Name, seconds(c.last.Sub(c.first))),
		Why: finding.Join("; ",
			finding.Format("they run on %s (%s nodes) and have not restarted; they ceased to be Ready between %s and %s, and one probe takes up to %s s to notice",
				"%s(노드 %s개)에서 재시작 없이 실행 중입니다; %s부터 %s 사이에 Ready에서 벗어났고 probe 하나가 알아차리는 데 최대 %s초가 걸립니다",
				finding.List(c.nodes), number(len(c.nodes)), finding.Verbatim(c.first.UTC().Format("15:04:05 UTC")), finding.Verbatim(c.last.UTC().Format("15:04:05 UTC")),
				finding.Verbatim(noticing(t))),
			finding.Format("the probe (%s) said on %s: %s", "probe(%s)가 %s에서 알린 내용: %s", finding.Verbatim(c.asks()), finding.Pods(len(c.seen.pods)), finding.Verbatim(finding.Quote(output(c.seen.latest)))),
			unread(p.Snapshot)),
		Evidence: append([]finding.Evidence{{Source: name, Path: c.field(""), Value: c.asks()}}, c.seen.evidence()...),
		RuledOut: []finding.Statement{{Text: finding.Textf("the nodes: the pods are on several, and their kubelets report", "노드 문제가 아닙니다. Pod가 여러 노드에 있고 kubelet이 보고하고 있습니다")}},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text:    finding.Textf("see what the program itself says that it misses", "프로그램이 무엇이 부족하다고 하는지 확인합니다"),
				Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", f.pods[0].Namespace, f.pods[0].Name, c.container.Name),
			}},
			Later: []finding.Remedy{c.edit("", finding.Textf(
				"let readiness ask only whether this replica can take requests, and answer requests that need the shared thing with an error of their own",
				"readiness는 이 replica가 요청을 받을 수 있는지만 확인하게 하고, 함께 쓰는 대상이 필요한 요청에는 그에 맞는 오류로 답하게 하십시오"))},
		},
	}
}

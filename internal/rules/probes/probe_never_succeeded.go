package probes

import (
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
	Code:  "ProbeNeverSucceeded",
	Title: finding.Textf("probe asks what the program cannot answer, and has never succeeded", "probe가 프로그램이 답할 수 없는 것을 물어 한 번도 성공하지 못했습니다"),
	Doc: finding.Textf(
		"No pod of the newest version of a workload has been ready since it was made, and what the kubelet quotes of a probe says that the question is wrong, and not the program: the path does not exist (404), credentials are wanted "+
			"(401, 403), HTTP is spoken where the other side speaks TLS or the reverse, a client certificate is wanted, no gRPC health service is there or it does not know the service asked for, the command is not in the image, a service mesh "+
			"cuts the connection, or nothing listens on a port that the container does not declare. The version before, if it is ready, shows which question is answered. Left alone: versions of which one pod has been ready, programs that "+
			"say that they are ill, are slow or have not come so far as to listen (ReadinessProbeFailing, ProbeKillsStart), events that are older than ten minutes, and pods on nodes that do not report.",
		"워크로드의 최신 버전 Pod가 생성된 뒤 한 번도 Ready가 되지 못했고, kubelet이 남긴 probe 메시지가 프로그램이 아니라 probe의 질문이 잘못되었음을 보여 줍니다. 경로가 없거나(404), 인증을 요구하거나(401, 403), "+
			"한쪽만 TLS를 사용하거나, 클라이언트 인증서를 요구하거나, gRPC health service가 없거나 요청한 service를 모르거나, 명령이 이미지에 없거나, service mesh가 연결을 끊거나, 컨테이너가 선언하지 않은 port에서 응답이 없는 경우입니다. "+
			"이전 버전이 Ready이면 어떤 질문에 답하는지 알 수 있습니다. 한 Pod라도 Ready였던 버전, 스스로 비정상이라고 응답하거나 느리거나 아직 수신하지 않는 프로그램(ReadinessProbeFailing, ProbeKillsStart), 10분이 지난 이벤트, 보고가 끊긴 노드의 Pod는 제외합니다."),
	Link:     probeTasks,
	Severity: finding.Warning,
	Needs:    baseNeeds(rule.Any[*corev1.Event](), rule.Optional[*coordinationv1.Lease]()),
	For:      2 * time.Minute,
	Detect: func(p *rule.Pass) {
		all := familiesOf(p.Snapshot)
		for i, f := range all {
			if !f.newest {
				continue
			}
			var before *family
			if i+1 < len(all) && all[i+1].workload == f.workload {
				before = all[i+1]
			}
			if m, ok := misdirected(p.Snapshot, f); ok {
				m.before, m.hasBefore = answeredBefore(m.probe, before)
				p.Report(m.finding(p))
			}
		}
	},
})

const (
	// eventsSpeak is how old the last event about a probe may be and still tell of the present: a kubelet that
	// has much to say of a pod says one thing in five minutes (k8s.io/client-go/tools/record, defaultSpamQPS).
	eventsSpeak = 10 * time.Minute
	// failuresSeen is how many failed attempts make a habit.
	failuresSeen = 3
)

// misdirection is a probe that asks what cannot be answered.
type misdirection struct {
	probe

	wrong wrongQuestion
	seen  observation
	pods  []*corev1.Pod
	// before is the same probe of the version before, which is Ready, where it asks something else.
	before    probe
	hasBefore bool
}

// misdirected finds the probe that keeps every pod of a family from having ever been ready.
func misdirected(s *snapshot.Snapshot, f *family) (misdirection, bool) {
	if slices.ContainsFunc(f.pods, snapshot.WasReady) {
		return misdirection{}, false
	}
	waiting := neverReady(f.pods)
	if len(waiting) == 0 {
		return misdirection{}, false
	}
	for at := range f.places(waiting[0]) {
		for _, one := range at.probes() {
			seen := one.observe(s, waiting, "Unhealthy", func(e *corev1.Event) bool { return one.failed(e) || one.errored(e) })
			if seen.count < failuresSeen || s.Now().Sub(seen.last) > eventsSpeak || !reports(s, seen.pods) {
				continue
			}
			if wrong, ok := one.wrongQuestion(kubelet.MeaningOf(one.spec, output(seen.latest))); ok {
				return misdirection{probe: one, wrong: wrong, seen: seen, pods: waiting}, true
			}
		}
	}
	return misdirection{}, false
}

// reports tells whether a kubelet of one of the pods is not known to be dead.
func reports(s *snapshot.Snapshot, pods []*corev1.Pod) bool {
	for _, pod := range pods {
		if s.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State != snapshot.Dead {
			return true
		}
	}
	return false
}

// answeredBefore is the probe as the version before has it, where that is Ready and asks something else.
func answeredBefore(now probe, before *family) (probe, bool) {
	if before == nil {
		return probe{}, false
	}
	for _, pod := range before.pods {
		if !snapshot.PodReady(pod) {
			continue
		}
		for at := range before.places(pod) {
			for _, old := range at.probes() {
				if at.container.Name == now.container.Name && old.kind == now.kind && !old.same(now.spec) {
					return old, true
				}
			}
		}
		return probe{}, false
	}
	return probe{}, false
}

func (m misdirection) finding(p *rule.Pass) finding.Finding {
	f := m.of
	out := finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: m.field(m.wrong.field), Confidence: m.wrong.confidence,
		Explains: f.claims(m.pods), Since: unreadySince(m.pods),
		Title: finding.Format("%s: %s probe of container %s has never succeeded: %s", "%[1]s: %[3]s 컨테이너의 %[2]s probe가 한 번도 성공하지 못했습니다: %[4]s",
			finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(string(m.kind)), finding.Verbatim(m.container.Name), m.wrong.says),
		Evidence: append([]finding.Evidence{{Source: finding.Named(f.workload), Path: m.field(""), Value: m.asks()}}, m.seen.evidence()...),
	}
	asked := finding.Format("none of %s of this version, the first made at %s, was ever Ready; of %s the kubelet told %s times since %s: %s",
		"이 버전의 %[1]s 가운데(최초 생성 %[2]s) Ready였던 것이 없습니다; kubelet이 %[3]s에 대해 %[5]s부터 %[4]s번 알렸습니다: %[6]s",
		finding.Pods(len(m.pods)), finding.Verbatim(finding.Clock(p.Now(), out.Since)), finding.Verbatim(m.asks()), finding.Textf("%d", "%d", m.seen.count),
		finding.Verbatim(finding.Clock(p.Now(), m.seen.first)), finding.Verbatim(finding.Quote(output(m.seen.latest))))
	var version finding.Text
	if m.hasBefore {
		version = finding.Textf("the version before, which is Ready, asks %s", "Ready 상태인 이전 버전은 %s을 확인합니다", m.before.asks())
		if old, fresh := m.before.asks(), m.asks(); old == fresh {
			version = finding.Textf("the version before, which is Ready, asks it otherwise", "Ready 상태인 이전 버전은 다른 방식으로 확인합니다")
		}
	}
	out.Why = finding.Join("; ", asked, m.wrong.because, version, unread(p.Snapshot))
	if m.wrong.confidence == "" {
		out.RuledOut = []finding.Statement{{Text: finding.Textf("a slow start: a program that has not come so far does not answer so", "느린 시작이 아닙니다. 아직 시작하지 못한 프로그램은 이렇게 답하지 않습니다")}}
	}
	out.Remedies.Now = []finding.Remedy{m.remedy(p.Snapshot)}
	return out
}

// remedy asks what the version before asked, or what is known to be answered.
func (m misdirection) remedy(s *snapshot.Snapshot) finding.Remedy {
	if m.hasBefore {
		change := m.replaceHandler(m.before.handler())
		return m.mend(s, fields{m.name(): change}, finding.Textf("ask again what the version before asks: %s", "이전 버전처럼 %s을 확인하게 합니다", m.before.asks()))
	}
	if m.wrong.change == nil {
		return m.edit(m.wrong.field, m.wrong.mend)
	}
	return m.mend(s, fields{m.name(): m.wrong.change}, m.wrong.mend)
}

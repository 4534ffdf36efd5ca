package checks

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const checksLink = "https://github.com/kuberhealthy/kuberhealthy/blob/master/docs/CHECKS.md"

var _ = Catalog.Add(rule.Rule{
	Code:  "CheckFailing",
	Title: finding.Text{EN: "check fails", KO: "check가 실패합니다"},
	Doc: finding.Text{
		EN: "The newest run of a check (khcheck, khjob, HealthCheck, Check) reported that something is wrong. It is evidence, and seldom the cause: what its words name " +
			"(Nodes, pods, Services, claims) and what it does (a pod on every node, a Deployment, names, volumes) lead to the fault behind it, and it stands in that incident's chain. Where nothing seen explains it, it is an " +
			"incident of its own and says so. Its severity is warning, or what the label kuberhealthy.io/severity on the check says (critical, info): only who wrote the check knows what its failure means. " +
			"Left alone: checks whose newest run ended well, those that have not run yet, results so old that they say nothing any more (CheckNotRunning), jobs that failed more than a day ago, " +
			"suspended checks, and runs that ended without a report (CheckerBroken).",
		KO: "check(khcheck, khjob, HealthCheck, Check)의 최근 실행이 이상을 보고했습니다. check는 대개 원인이 아니라 증거입니다. 보고에 나온 이름(Node, Pod, Service, PVC)과 check가 하는 일" +
			"(모든 노드에서 Pod 실행, Deployment 배포, 이름 조회, 볼륨 사용)로 원인을 찾아 해당 인시던트에 연결합니다. 원인이 보이지 않으면 독립된 인시던트로 알리고 그 사실을 밝힙니다. " +
			"심각도는 warning이며, check에 kuberhealthy.io/severity label(critical, info)이 있으면 그 값을 따릅니다. 실패의 의미는 check를 작성한 사람만 알기 때문입니다. " +
			"최근 실행이 성공한 check, 아직 실행되지 않은 check, 너무 오래되어 의미가 없는 결과(CheckNotRunning), 하루 넘게 지난 job의 실패, 일시 중지된 check, 보고 없이 끝난 실행(CheckerBroken)은 제외합니다.",
	},
	Link:     checksLink,
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Needs:    checkNeeds(targetNeeds()...),
	Symptom:  true,
	Causes: slices.Concat(
		reachedBy(acts, creating...),
		reachedBy(acts, starting...),
		reachedBy(onUnnamedNode, nodes...),
		reachedBy(is(scenarioDNS, scenarioDeployment), names...),
		reachedBy(namesNothing, slices.Concat(names, namesOutside)...),
		reachedBy(reachesNothing, traffic...),
		reachedBy(looksOutside, namesOutside...),
		reachedBy(is(scenarioDNS, scenarioDeployment), traffic...),
		reachedBy(is(scenarioStorage), volumes...),
		reachedBy(is(scenarioImage), images...),
	),
	Detect: func(p *rule.Pass) {
		for _, c := range checksOf(p.Snapshot).all {
			if !c.failing(p.Now()) {
				continue
			}
			if _, ill := c.execution(p.Snapshot); !ill {
				p.Report(checkFailing(p, c))
			}
		}
		unread(p)
	},
})

// onUnnamedNode tells of a check that runs on every node and does not say on which it failed: any may be it.
func onUnnamedNode(s *snapshot.Snapshot, c *check) bool {
	return c.scenario == scenarioDaemonSet && !mentionsOf(s)[c].node
}

// looksOutside tells of a check of names that are not those of the cluster, as far as its own name tells
// (Kuberhealthy's chart calls them dns-status-internal and dns-status-external).
func looksOutside(_ *snapshot.Snapshot, c *check) bool {
	if c.spec != nil && c.spec.DNS != nil {
		return !strings.Contains(c.spec.DNS.Name, ".svc.")
	}
	return c.scenario == scenarioDNS && !strings.Contains(c.subject.Name, "internal")
}

// Why a probe of a Check got no answer. The operator counts a Service without endpoints as a failure.
var (
	noName   = []reason{v1alpha1.ReasonNameNotFound, v1alpha1.ReasonNameLookupFailed}
	noAnswer = []reason{v1alpha1.ReasonUnreachable, v1alpha1.ReasonTimedOut, v1alpha1.ReasonConnectionRefused, v1alpha1.ReasonConnectionReset, v1alpha1.ReasonNoEndpoints}
)

// namesNothing tells of a probe for which no name was resolved.
func namesNothing(_ *snapshot.Snapshot, c *check) bool { return slices.Contains(noName, c.reason) }

// reachesNothing tells of a probe of something in the cluster that got no answer.
func reachesNothing(s *snapshot.Snapshot, c *check) bool {
	return slices.Contains(noAnswer, c.reason) && len(targetsOf(s)[c].subjects) > 0
}

// severityLabel is where a check says how much its failure matters (Kuberhealthy 3, main:
// internal/metrics/exporter.go).
const severityLabel = "kuberhealthy.io/severity"

func severityOf(c *check) finding.Severity {
	switch strings.ToLower(c.labels[severityLabel]) {
	case "critical":
		return finding.Critical
	case "info":
		return finding.Info
	default:
		return finding.Warning
	}
}

func checkFailing(p *rule.Pass, c *check) finding.Finding {
	m := mentionsOf(p.Snapshot)[c]
	f := finding.Finding{
		Subject: c.subject, Severity: severityOf(c), Mechanism: v1alpha1.MechanismFailing, Since: c.since, WaitsFor: slices.Clone(m.subjects),
		Title:    finding.Format("%s: the check fails: %s", "%s: check가 실패했습니다: %s", finding.Verbatim(finding.Named(c.subject)), said(c)),
		Evidence: c.evidence(),
	}
	f.WaitsFor = append(f.WaitsFor, targetsOf(p.Snapshot)[c].subjects...)
	if c.scenario == scenarioDNS {
		f.WaitsFor = append(f.WaitsFor, resolvers(p.Snapshot)...)
	}
	f.Why = finding.Join(" ", saidInFull(c), history(p, c), unexplained())
	f.Remedies.Now = whatToLookAt(p.Snapshot, c)
	tellLog(&f, c)
	return f
}

// titleRunes is how much of an error a title takes: it is a column of lists.
const titleRunes = 80

// said is the beginning of the first thing that a check complains of.
func said(c *check) finding.Text {
	text := c.said
	if text == "" {
		return finding.Textf("it does not say why", "이유를 보고하지 않았습니다")
	}
	return finding.Verbatim(`"` + finding.Line(text, titleRunes) + `"`)
}

// saidInFull is what the title had no room for; empty for nothing.
func saidInFull(c *check) finding.Text {
	text := c.said
	if finding.Line(text, titleRunes) == text {
		return finding.Text{}
	}
	return finding.Textf("It said: %q.", "보고한 내용: %q.", text)
}

// unexplained stands in the reason of a finding, which is read where it is a root.
func unexplained() finding.Text {
	return finding.Textf("Nothing else that was seen in the cluster explains it.", "클러스터에서 확인된 것 중 이를 설명하는 다른 원인은 없습니다.")
}

// history says when a check failed last, and for how long it has.
func history(p *rule.Pass, c *check) finding.Text {
	last := finding.Textf("The newest run failed at %s.", "최근 실행이 %s에 실패했습니다.", finding.Clock(p.Now(), c.endedAt))
	switch {
	case c.recovering:
		return finding.Textf("It fails since %s, and has begun to succeed again; it takes more runs that do to be healthy.", "%s부터 실패했으며 다시 성공하기 시작했습니다. 정상으로 판정하려면 성공이 더 이어져야 합니다.", finding.Clock(p.Now(), c.since))
	case c.spec != nil:
		return finding.Textf("It fails since %s; the operator last wrote of it at %s.", "%s부터 실패하고 있으며, operator가 마지막으로 기록한 시각은 %s입니다.", finding.Clock(p.Now(), c.since), finding.Clock(p.Now(), c.endedAt))
	case c.once:
		return finding.Textf("It runs once, and failed at %s.", "한 번만 실행되는 check이며 %s에 실패했습니다.", finding.Clock(p.Now(), c.endedAt))
	case c.runs > 1:
		return finding.Join(" ", last, finding.Textf("It has failed %d times in a row, since %s.", "%[2]s부터 연속 %[1]d회 실패했습니다.", c.runs, finding.Clock(p.Now(), c.since)))
	case c.runs == 1 && !c.first:
		return finding.Join(" ", last, finding.Textf("The run before it ended well.", "그 직전 실행은 성공했습니다."))
	case !c.lastOK.IsZero():
		return finding.Join(" ", last, finding.Textf("It last ended well at %s.", "마지막 성공은 %s입니다.", finding.Clock(p.Now(), c.lastOK)))
	default:
		return last
	}
}

// resolvers are the Services of cluster DNS, for which checks of names wait, and the workloads behind them.
// They carry this label wherever CoreDNS is deployed (kubernetes: cluster/addons/dns/coredns).
func resolvers(s *snapshot.Snapshot) []finding.Subject {
	var out []finding.Subject
	for _, name := range []string{"kube-dns", "coredns", "rke2-coredns-rke2-coredns"} {
		if svc, ok := snapshot.Get[*corev1.Service](s, "kube-system", name); ok {
			out = append(out, snapshot.SubjectOf(svc))
			for _, pod := range s.PodsSelected(svc.Namespace, svc.Spec.Selector) {
				if w := s.Workload(pod); !slices.Contains(out, w) {
					out = append(out, w)
				}
			}
		}
	}
	return out
}

// tellLog adds the end of the checker's log, which is kept after its pod is gone.
func tellLog(f *finding.Finding, c *check) {
	if c.record == nil || c.record.LastFailure == nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(c.record.LastFailure.LogTail), "\n")
	for _, line := range lines[max(0, len(lines)-logLinesTold):] {
		if text := legible(line); text != "" {
			f.Evidence = append(f.Evidence, finding.Evidence{
				Source: "CheckRecord " + c.record.Namespace + "/" + c.record.Name, Path: ".lastFailure.logTail", Value: text, At: finding.Timestamp(c.record.LastFailure.At.Time),
			})
		}
	}
}

// logLinesTold is how many lines of a checker's log are told.
const logLinesTold = 3

// whatToLookAt leads to what the checker saw.
func whatToLookAt(s *snapshot.Snapshot, c *check) []finding.Remedy {
	var out []finding.Remedy
	if pod := c.newestPod(s); pod != nil && len(pod.Spec.Containers) > 0 && pod.Status.Phase != corev1.PodPending {
		out = append(out, finding.Remedy{
			Text:    finding.Textf("read what the checker said", "checker가 남긴 로그를 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s logs %s -c %s --tail=50", pod.Namespace, pod.Name, pod.Spec.Containers[0].Name),
		})
	}
	if r := c.record; r != nil && r.LastFailure != nil && r.LastFailure.LogTail != "" {
		out = append(out, finding.Remedy{
			Text:    finding.Textf("read the end of its log, kept from the run that failed", "실패한 실행에서 보관된 로그의 끝부분을 확인합니다"),
			Command: fmt.Sprintf("kubectl -n %s get checkrecords.maek.dev %s -o jsonpath='{.lastFailure.logTail}'", r.Namespace, r.Name),
		})
	}
	out = append(out, finding.Remedy{
		Text:    finding.Textf("see the check and its result", "check와 결과를 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s get %s %s -o yaml", c.subject.Namespace, c.resource, c.subject.Name),
	})
	if name := scenarioNames[c.scenario]; name != "" {
		out = append(out, finding.Remedy{
			Text:    finding.Textf("do the same once by hand", "같은 점검을 직접 한 번 실행합니다"),
			Command: "kubectl maek check " + name,
		})
	}
	return out
}

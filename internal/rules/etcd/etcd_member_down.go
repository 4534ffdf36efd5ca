package etcd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "EtcdMemberDown",
	Title: finding.Text{EN: "one of several etcd members does not run", KO: "etcd member 중 일부가 실행되지 않습니다"},
	Doc: finding.Text{
		EN: "Of several etcd members one does not run: it answers no machine that asks it, or, where no agent tells, the container of its static pod ends or is not ready, or its node no longer reports. The others still form a majority and everything works, with less in reserve: a " +
			"warning, that says how many more may fail. When too few are left etcd itself fails, which is EtcdQuorumLost, or EtcdUnavailable where only the API server tells. A single member and a member that started a minute ago are left alone.",
		KO: "etcd member 여러 개 중 일부가 동작하지 않습니다. 확인한 모든 머신에 응답하지 않거나, agent가 없으면 static Pod의 컨테이너가 종료되거나 준비되지 않았거나, 노드가 보고하지 않는 경우입니다. 나머지가 과반수를 유지하여 모든 것이 동작하지만 여유가 줄어든 상태이므로 " +
			"warning이며, 몇 개까지 더 견딜 수 있는지 알립니다. 과반수를 잃으면 EtcdQuorumLost, API server만 알 수 있으면 EtcdUnavailable입니다. member가 하나인 경우와 방금 시작한 member는 제외합니다.",
	},
	Link:     "https://etcd.io/docs/v3.6/faq/#what-is-failure-tolerance",
	Severity: finding.Warning,
	Needs:    append([]rule.Need{rule.Optional[*coordinationv1.Lease]()}, optionalNodes...),
	Machine:  machineKeys,
	For:      time.Minute,
	Causes:   memberCauses(),
	Detect:   detectEtcdMemberDown,
})

// memberCauses are what can take a member away: what its own pod suffers from.
func memberCauses() []rule.Cause {
	out := []rule.Cause{
		{Code: "StaticPodManifestInvalid", Via: rule.Claimed},
		{Code: "StaticPodManifestMissing", Via: rule.Claimed},
	}
	for _, code := range []finding.Code{
		"ContainerCrashLoop", "ContainerOOMKilled", "ContainerStartFailing", "ImageArchitectureMismatch", "ImageNameInvalid", "ImageNotFound", "ImagePullFailed", "LivenessProbeFailing", "StartupProbeFailing",
	} {
		out = append(out, rule.Cause{Code: code, Via: rule.Cluster, Holds: func(_ *snapshot.Snapshot, effect, cause finding.Finding) bool {
			return slices.ContainsFunc(effect.Explains, func(s finding.Subject) bool { return s == cause.Subject })
		}})
	}
	return out
}

func detectEtcdMemberDown(p *rule.Pass) {
	if seen := clusters(p); len(seen) > 0 {
		for _, c := range seen {
			c.reportDown(p)
		}
		return
	}
	if !p.Coverage(snapshot.KindOf[*corev1.Pod]()).Readable() {
		if !p.API().Asked {
			return // A machine that was looked at by itself, and has no etcd.
		}
		p.Skip(finding.Text{EN: "no machine reports on etcd, and its pods could not be read", KO: "etcd를 보고하는 머신이 없고 Pod도 읽을 수 없습니다"})
		return
	}
	pods := members(p.Snapshot)
	api := p.API()
	if len(pods) < 2 || api.Failure != nil || slices.ContainsFunc(api.Checks, func(c snapshot.HealthCheck) bool { return !c.OK && strings.HasPrefix(c.Name, "etcd") }) {
		return
	}
	var down []*corev1.Pod
	fossil := map[string]bool{}
	for _, pod := range pods {
		switch dead := p.Writer(snapshot.KubeletOn(pod.Spec.NodeName)).State == snapshot.Dead; {
		case dead:
			fossil[pod.Name] = true
			down = append(down, pod)
		case !snapshot.PodReady(pod):
			down = append(down, pod)
		}
	}
	left := len(pods) - len(down) - quorum(len(pods))
	for _, pod := range down {
		f := finding.Finding{
			Subject:   finding.Subject{Kind: "EtcdMember", Name: pod.Spec.NodeName, Machine: pod.Spec.NodeName},
			Mechanism: v1alpha1.MechanismStopped, Since: snapshot.NotReadySince(pod),
			Explains: []finding.Subject{snapshot.SubjectOf(pod)},
			WaitsFor: []finding.Subject{{Kind: "Node", Name: pod.Spec.NodeName}},
		}
		var how finding.Text
		if fossil[pod.Name] {
			w := p.Writer(snapshot.KubeletOn(pod.Spec.NodeName))
			f.Since, f.Mechanism, f.Confidence = w.LastSeen, v1alpha1.MechanismUnreachable, v1alpha1.ConfidenceMedium
			f.Evidence = append(f.Evidence, w.Evidence...)
			how = finding.Textf("The node %s does not report, so what the status of its pod says is old: the member is gone with its machine, or only its kubelet is.",
				"노드 %s의 보고가 없어 Pod의 status는 오래된 값입니다. 머신과 함께 사라졌거나 kubelet만 멈춘 것입니다.", pod.Spec.NodeName)
		} else {
			f.Evidence = append(f.Evidence, containerEvidence(pod)...)
			how = finding.Textf("Its static pod %s on %s is not ready.", "%[2]s의 static Pod(%[1]s)가 준비되지 않았습니다.", pod.Name, pod.Spec.NodeName)
		}
		f.Title = finding.Textf("etcd member on %s is down: %d of %d run", "%s의 etcd member가 중지되었습니다: %[3]d개 중 %[2]d개 실행 중", pod.Spec.NodeName, len(pods)-len(down), len(pods))
		f.Why = finding.Join(" ", how, reserve(left), finding.Text{EN: "The API server reads and writes as before.", KO: "API server의 읽기와 쓰기는 정상입니다."})
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{
					Text:    finding.Text{EN: "is its container there, and what did it say last", KO: "컨테이너가 있는지, 마지막 로그가 무엇인지 확인합니다"},
					Command: "crictl ps -a --name etcd; crictl logs --tail 20 $(crictl ps -aq --name etcd | head -n 1)", Machine: pod.Spec.NodeName,
				},
				{
					Text: finding.Text{
						EN: "is its manifest there; put back or mended, the kubelet starts it by itself",
						KO: "manifest가 있는지 확인합니다. 되돌리거나 고치면 kubelet이 바로 시작합니다",
					},
					Command: "ls -l " + manifest + "; df -h /var/lib/etcd", Machine: pod.Spec.NodeName,
				},
			},
			Later: replace(),
		}
		p.Report(f)
	}
}

// reportDown tells of members that answer no machine while a majority does.
func (c *etcdCluster) reportDown(p *rule.Pass) {
	voters, down := c.voters(), c.down()
	left := len(voters) - len(down) - quorum(len(voters))
	if left < 0 && !c.agrees() || len(voters) < 2 {
		return // That is EtcdQuorumLost.
	}
	for _, m := range down {
		if m.name == "" {
			continue // That is EtcdMemberListMismatch.
		}
		l := c.lossOf(p, m)
		f := finding.Finding{
			Subject: m.subject(), Mechanism: l.mechanism, Since: l.since, Evidence: l.evidence, Explains: podsOf(p.Snapshot, m),
			Title:    finding.Textf("etcd member on %s is down: %d of %d run", "%s의 etcd member가 중지되었습니다: %[3]d개 중 %[2]d개 실행 중", m.label(), len(voters)-len(down), len(voters)),
			Why:      finding.Join(". ", l.why, finding.Join(" ", reserve(left), finding.Text{EN: "etcd reads and writes as before.", KO: "etcd의 읽기와 쓰기는 정상입니다."})),
			Remedies: finding.Remedies{Now: l.remedies, Later: replace()},
		}
		f.WaitsFor = l.on
		if m.node != "" {
			f.WaitsFor = append(f.WaitsFor, finding.Subject{Kind: "Node", Name: m.node})
		}
		p.Report(f)
	}
}

// replace is what is left where a machine is lost for good.
func replace() []finding.Remedy {
	return []finding.Remedy{{Text: finding.Text{
		EN: "if the machine does not come back: take the member out with `etcdctl member remove` before another is added",
		KO: "머신이 복구되지 않으면 새 member를 추가하기 전에 `etcdctl member remove`로 제거합니다",
	}}}
}

// reserve says how many more members may fail.
func reserve(left int) finding.Text {
	switch {
	case left > 0:
		return finding.Textf("%d more may fail before etcd stops.", "앞으로 %d개까지는 더 멈춰도 etcd가 동작합니다.", left)
	case left == 0:
		return finding.Text{EN: "If one more fails, etcd stops and with it the whole control plane.", KO: "하나만 더 멈추면 etcd와 control plane 전체가 멈춥니다."}
	default:
		return finding.Text{
			EN: "That leaves no majority, yet etcd answers: some of these members still run.",
			KO: "과반수가 되지 않지만 etcd가 응답하므로 이 중 일부는 아직 실행 중입니다.",
		}
	}
}

// containerEvidence tells how the container of a static pod is.
func containerEvidence(pod *corev1.Pod) []finding.Evidence {
	source := finding.Named(snapshot.SubjectOf(pod))
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
			switch {
			case state.Terminated != nil:
				return []finding.Evidence{terminated(pod, c, state.Terminated)}
			case state.Running != nil:
				return []finding.Evidence{{Source: source, Path: ".status.containerStatuses[" + c.Name + "]", Value: "running, not ready", At: finding.Timestamp(state.Running.StartedAt.Time)}}
			}
		}
	}
	return []finding.Evidence{{Source: source, Path: ".status.conditions[Ready]", Value: "not ready", At: finding.Timestamp(snapshot.NotReadySince(pod))}}
}

// terminated tells how a container of a static pod ended.
func terminated(pod *corev1.Pod, c *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) finding.Evidence {
	value := fmt.Sprintf("exit code %d, %s, %d restarts", end.ExitCode, end.Reason, c.RestartCount)
	if end.Message != "" {
		value += ": " + end.Message
	}
	return finding.Evidence{
		Source: finding.Named(snapshot.SubjectOf(pod)), Path: ".status.containerStatuses[" + c.Name + "]", Value: finding.Quote(value), At: finding.Timestamp(end.FinishedAt.Time),
	}
}

package workload

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImageArchitectureMismatch",
	Title: finding.Textf("image is built for another processor", "다른 프로세서용으로 빌드된 이미지입니다"),
	Doc: finding.Textf(
		"The kernel of a node refuses a container's program as one for another processor architecture (exec format error, in the runtime's words or the container's log): the image has a build for one architecture only and "+
			"the pod runs on a node of another. A script without a first line that names its interpreter is refused in the same words. Silent where the registry already says that it has no build for the platform (ImageNotFound), and "+
			"for containers that end for another reason (ContainerCrashLoop).",
		"노드의 커널이 컨테이너의 프로그램을 다른 프로세서 아키텍처용이라며 거부합니다(runtime 메시지나 컨테이너 로그의 exec format error). 이미지가 한 아키텍처용으로만 빌드되었는데 Pod가 다른 아키텍처의 노드에서 실행된 경우입니다. "+
			"첫 줄에 interpreter가 없는 스크립트도 같은 오류를 냅니다. registry가 해당 platform의 빌드가 없다고 응답하면 ImageNotFound에서, 다른 이유로 종료되면 ContainerCrashLoop에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/concepts/containers/images/#multi-architecture-images-with-image-indexes",
	Severity: finding.Warning,
	Needs:    append(containerNeeds(), append(dependencyNeeds(), rule.Optional[*corev1.Node]())...),
	For:      crashPatience,
	Detect:   detectImageArchitectureMismatch,
})

func detectImageArchitectureMismatch(p *rule.Pass) {
	now, d := p.Now(), newDirectory(p.Snapshot)
	ends := func(c container) bool { return c.keepsEnding(now) && !oomKilled(c.ended()) }
	for _, g := range endingContainers(p, ends) {
		c := g.Items[0]
		if wrongArchitecture(c.ended().Message) {
			p.Report(imageArchitectureMismatch(p, g, lastWords{}))
			continue
		}
		if _, byProbe := probeKill(p.Snapshot, c); byProbe || c.cannotStart(p.Snapshot) {
			continue
		}
		if words := askLastWords(p, d, g.Items); words.about(concernPlatform) {
			p.Report(imageArchitectureMismatch(p, g, words))
		}
	}
}

func imageArchitectureMismatch(p *rule.Pass, g group[container], words lastWords) finding.Finding {
	c, pods := g.Items[0], containerPods(g.Items)
	if words.clue != nil {
		c = words.from
	}
	h := historyOf(p.Snapshot, g.Subject, pods)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismMisconfigured, Since: earliest(p.Snapshot, g.Items),
		Field:    c.field(g.Subject, ".image"),
		Title:    finding.Format("%s: %s is built for another processor", "%s: %s 다른 프로세서용으로 빌드되었습니다", nameOf(g.Subject, pods), c.label()),
		Evidence: append([]finding.Evidence{c.evidence()}, words.evidence...),
	}
	node, architecture := c.pod.Spec.NodeName, ""
	on := finding.Textf("node %s refuses the program of image %s", "노드 %s가 이미지 %s의 프로그램을 거부합니다", node, clip(c.spec.Image, imageRunes))
	if n, ok := snapshot.Get[*corev1.Node](p.Snapshot, "", node); ok {
		architecture = n.Status.NodeInfo.Architecture
	}
	if architecture != "" {
		f.Evidence = append(f.Evidence, finding.Evidence{Source: "Node " + node, Path: ".status.nodeInfo.architecture", Value: architecture})
		on = finding.Textf("node %s is of architecture %s and refuses the program of image %s", "노드 %s(아키텍처 %s)가 이미지 %s의 프로그램을 거부합니다", node, architecture, clip(c.spec.Image, imageRunes))
	}
	said := words.text()
	if said.IsZero() {
		said = inQuotes(startMessage(c.ended().Message))
	}
	f.Why = finding.Join("; ", restarts(g.Items), on, said, h.brought("image"), h.serving())
	if h.blames("image") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	later := finding.Remedy{Text: finding.Textf("build the image for every architecture of the cluster (docker buildx build --platform), or bind the pods to nodes of its own by the label kubernetes.io/arch",
		"클러스터의 모든 아키텍처용으로 이미지를 빌드하거나(docker buildx build --platform), kubernetes.io/arch label로 맞는 노드에만 배치하십시오")}
	if architecture != "" {
		later.Command = "kubectl get nodes -L " + corev1.LabelArchStable
	}
	f.Remedies.Later = []finding.Remedy{later}
	return claimWorkload(aboutPods(p.Snapshot, f, pods))
}

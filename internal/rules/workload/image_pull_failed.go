package workload

import (
	"fmt"
	"regexp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImagePullFailed",
	Title: finding.Textf("image cannot be stored or verified on the node", "노드에서 이미지를 저장하거나 검증하지 못합니다"),
	Doc: finding.Textf(
		"A container waits for an image that its node cannot take in, though the registry has it and gives it: the node's disk is full, the image's signature is not accepted, its layers are damaged or cannot be unpacked, "+
			"its format is too old, or the container runtime fails. Silent where the image does not exist, is refused, or its registry cannot be used (ImageNotFound, ImagePullDenied, RegistryUnreachable), where its name is invalid "+
			"(ImageNameInvalid), where the kubelet only holds the pull back (pull QPS exceeded), and while the reason is not told.",
		"registry에는 문제가 없지만 노드가 이미지를 받아들이지 못합니다. 노드의 디스크가 가득 찼거나, 이미지 서명이 거부되었거나, layer가 손상되었거나 풀 수 없거나, 형식이 너무 오래되었거나, 컨테이너 runtime이 실패한 경우입니다. "+
			"이미지가 없거나 거부되거나 registry를 사용할 수 없는 경우, 이름이 잘못된 경우는 해당 규칙에서 다루고, kubelet이 pull을 잠시 늦추는 경우(pull QPS exceeded)와 이유가 알려지지 않은 동안은 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/containers/images/",
	Severity: finding.Warning,
	Needs:    pullNeeds(),
	For:      pullPatience,
	Causes: []rule.Cause{
		{Code: "ContainerRuntimeDown", Via: rule.Cluster, Holds: stuckFor},
		{Code: "NodeNotReady", Via: rule.Cluster, Holds: stuckFor},
	},
	Detect: detectImagePullFailed,
})

// storeClue is a way in which a node fails to take an image in, by the words of containerd, CRI-O
// and the kubelet.
type storeClue struct {
	text      pattern
	mechanism finding.Mechanism
	// onNode tells that the node is the matter, and not the image.
	onNode bool
	says   finding.Text
	look   string
}

var storeClues = []storeClue{
	{
		patterned(`no space left on device|[Dd]isk quota exceeded`), v1alpha1.MechanismExhausted, true,
		finding.Textf("the node's disk is full", "노드의 디스크가 가득 찼습니다"), "df -h /var/lib/containerd /var/lib/containers; df -i",
	},
	{
		patterned(`SignatureValidationFailed|[Ss]ignature (?:validation|verification)|no signature|rejected by policy|Source image rejected`), v1alpha1.MechanismUnauthorized, false,
		finding.Textf("its signature is not accepted by the policy of the node", "노드의 정책이 이미지 서명을 받아들이지 않습니다"), "cat /etc/containers/policy.json",
	},
	{
		patterned(`read-only file system`), v1alpha1.MechanismFailing, true,
		finding.Textf("the node's disk has become read-only", "노드의 디스크가 읽기 전용이 되었습니다"), "dmesg | tail -50",
	},
	{
		patterned(`input/output error`), v1alpha1.MechanismFailing, true,
		finding.Textf("the node's disk fails", "노드의 디스크에 입출력 오류가 있습니다"), "dmesg | tail -50",
	},
	{
		patterned(`failed commit on ref|unexpected commit digest|invalid checksum|digest mismatch|blob not found|content digest .* not found|unexpected EOF`), v1alpha1.MechanismFailing, false,
		finding.Textf("a layer arrives damaged or cut off", "layer가 손상되거나 중간에 끊긴 채 도착합니다"), "",
	},
	{
		patterned(`failed to extract layer|failed to unpack|unpigz|lchown|exit status .*unpack`), v1alpha1.MechanismFailing, false,
		finding.Textf("a layer cannot be unpacked", "layer의 압축을 풀지 못합니다"), "journalctl -u containerd -u crio --since -10min",
	},
	{
		patterned(`media type .* is no longer supported|unsupported (?:manifest )?media type|schema ?1|schema version 1`), v1alpha1.MechanismMisconfigured, false,
		finding.Textf("its format is one that the container runtime does not take any more", "컨테이너 runtime이 더 이상 지원하지 않는 형식의 이미지입니다"), "",
	},
	{
		patterned(`code = Unavailable|connect: no such file or directory|containerd\.sock|crio\.sock`), v1alpha1.MechanismUnreachable, true,
		finding.Textf("the node's container runtime does not answer", "노드의 컨테이너 runtime이 응답하지 않습니다"), "systemctl status containerd crio",
	},
}

// heldBack are the words of a kubelet that waits with a pull.
var heldBack = regexp.MustCompile(`pull QPS exceeded|^Back-off pulling image "[^"]*"$|^$`)

func detectImagePullFailed(p *rule.Pass) {
	var failures []snapshot.PullFailure
	for _, f := range failedPulls(p, pullOther) {
		for _, one := range f.Items {
			if !heldBack.MatchString(one.Message) || one.Reason == "ImageInspectError" || one.Reason == "SignatureValidationFailed" {
				failures = append(failures, one)
			}
		}
	}
	for _, g := range groupBy(failures, func(f snapshot.PullFailure) finding.Subject {
		if storeClueIn(f).onNode {
			return finding.Subject{Kind: "Node", Name: f.Pod.Spec.NodeName}
		}
		return p.Workload(f.Pod)
	}) {
		p.Report(imagePullFailed(p, g))
	}
}

func storeClueIn(f snapshot.PullFailure) storeClue {
	for _, c := range storeClues {
		if c.text.MatchString(f.Reason + ": " + f.Message) {
			return c
		}
	}
	if f.Reason == "ImageInspectError" {
		return storeClue{mechanism: v1alpha1.MechanismFailing, onNode: true, says: finding.Textf("the container runtime cannot look the image up in its store", "컨테이너 runtime이 저장된 이미지를 조회하지 못합니다"), look: "crictl images"}
	}
	return storeClue{mechanism: v1alpha1.MechanismFailing, says: finding.Textf("the container runtime cannot pull it", "컨테이너 runtime이 이미지를 받지 못합니다"), look: "journalctl -u containerd -u crio --since -10min"}
}

func imagePullFailed(p *rule.Pass, g group[snapshot.PullFailure]) finding.Finding {
	first, pods := g.Items[0], pullPods(g.Items)
	clue := storeClueIn(first)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: clue.mechanism, Since: pullSince(g.Items),
		Evidence: []finding.Evidence{pullEvidence(first)},
	}
	words := inQuotes(reasonOf(first.Message))
	if first.Message == "" {
		words = finding.Verbatim(first.Reason)
	}
	if g.Subject.Kind == "Node" {
		f.Title = finding.Format("node %s: cannot take image %s in: %s", "노드 %s: 이미지를 저장하지 못합니다(%s). %s", finding.Verbatim(g.Subject.Name), imagesOf(g.Items), clue.says)
		f.Why = finding.Join("; ", words, finding.Format("%s cannot start there for want of an image", "이미지를 기다리는 %s", finding.Pods(len(pods))))
	} else {
		h := historyOf(p.Snapshot, g.Subject, pods)
		f.Title = finding.Format("%s: image %s cannot be pulled: %s", "%s: 이미지를 받지 못합니다(%s). %s", nameOf(g.Subject, pods), imagesOf(g.Items), clue.says)
		f.Field = containerField(g.Subject, first.Container, first.Init, ".image")
		f.Why = finding.Join("; ", words, h.brought("image"), h.serving())
		if h.blames("image") {
			f.Evidence = append(f.Evidence, h.revision.evidence()...)
			f.Remedies.Now = h.rollback()
		}
	}
	if clue.look != "" {
		f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
			Text: finding.Textf("see on the node what is wrong", "노드에서 원인을 확인합니다"), Command: clue.look, Machine: first.Pod.Spec.NodeName,
		})
	}
	f.Remedies.Now = append(f.Remedies.Now, finding.Remedy{
		Text:    finding.Textf("see all that the kubelet tells of the pod", "kubelet이 남긴 Pod 이벤트를 모두 확인합니다"),
		Command: fmt.Sprintf("kubectl -n %s describe pod %s", first.Pod.Namespace, first.Pod.Name),
	})
	f = aboutPods(p.Snapshot, f, pods)
	return claimWorkload(f)
}

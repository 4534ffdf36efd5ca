package workload

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImageNotFound",
	Title: finding.Textf("image does not exist", "이미지가 존재하지 않습니다"),
	Doc: finding.Textf(
		"A container waits for an image that its registry says it does not have: the tag, digest or repository is mistyped, was never "+
			"pushed, or was removed; or the image has no build for the node's platform; or it may not be pulled (imagePullPolicy Never) and is not on the node. "+
			"Pods that already run go on running. Silent while a pull is under way or has failed for less than half a minute, when the registry "+
			"refused or could not be reached (ImagePullDenied, RegistryUnreachable), and for old events whose pod runs by now.",
		"컨테이너가 기다리는 이미지를 registry가 가지고 있지 않습니다. 태그·digest·repository를 잘못 적었거나, push하지 않았거나, 이미 삭제된 경우입니다. "+
			"노드의 platform용 빌드가 없거나, imagePullPolicy가 Never인데 노드에 이미지가 없는 경우도 포함합니다. 이미 실행 중인 Pod는 계속 실행됩니다. "+
			"pull이 진행 중이거나 실패한 지 30초가 되지 않았을 때, registry가 거부했거나 연결되지 않을 때(ImagePullDenied, RegistryUnreachable), "+
			"이벤트만 남아 있고 Pod는 이미 실행 중일 때는 보고하지 않습니다."),
	Link:     "https://kubernetes.io/docs/concepts/containers/images/#imagepullbackoff",
	Severity: finding.Warning,
	Needs:    pullNeeds(),
	For:      pullPatience,
	Detect:   detectImageNotFound,
})

func detectImageNotFound(p *rule.Pass) {
	groups := failedPulls(p, pullNotFound, pullNever, pullNoPlatform)
	if len(groups) == 0 {
		return
	}
	present := imagesInUse(p.Snapshot)
	for _, g := range groups {
		p.Report(imageNotFound(p, g, present))
	}
}

func imageNotFound(p *rule.Pass, g group[snapshot.PullFailure], present inUse) finding.Finding {
	first, pods := g.Items[0], pullPods(g.Items)
	class, h := classifyPull(first), historyOf(p.Snapshot, g.Subject, pods)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismMissing,
		Field:    containerField(g.Subject, first.Container, first.Init, ".image"),
		Since:    pullSince(g.Items),
		Title:    imageNotFoundTitle(g, class),
		Evidence: []finding.Evidence{pullEvidence(first)},
	}
	var where finding.Text
	switch class {
	case pullNever:
		f.Field = containerField(g.Subject, first.Container, first.Init, ".imagePullPolicy")
	case pullNoPlatform:
		f.Mechanism = v1alpha1.MechanismMisconfigured
	default:
		where = whatIsMissing(present, first)
		f.RuledOut = append(f.RuledOut, finding.Statement{Text: finding.Textf(
			"registry or network: %s answered", "registry나 네트워크 문제가 아닙니다. %s에서 응답이 왔습니다", snapshot.ParseImage(first.Image).Registry)})
	}
	f.Why = finding.Join("; ", inQuotes(reasonOf(first.Message)), where, h.brought("image"), h.serving())
	if h.blames("image") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, imageRemedies(g, pods, class, f.Field)...)
	f.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"have the pipeline look the image up in the registry before it deploys (skopeo inspect, crane manifest)",
		"배포 전에 registry에 이미지가 있는지 파이프라인에서 확인하십시오(skopeo inspect, crane manifest)")}}
	return aboutPods(p.Snapshot, f, pods)
}

func imageNotFoundTitle(g group[snapshot.PullFailure], class pullClass) finding.Text {
	name, images := finding.Verbatim(finding.Qualified(g.Subject)), imagesOf(g.Items)
	switch class {
	case pullNever:
		return finding.Format("%s: image %s is not on %s and may not be pulled (imagePullPolicy Never)",
			"%s: 이미지가 노드에 없고 pull도 금지되어 있습니다(이미지 %s, 노드 %s, imagePullPolicy Never)", name, images, finding.List(nodesOf(pullPods(g.Items))))
	case pullNoPlatform:
		return finding.Format("%s: image %s has no build for the platform of %s",
			"%s: 노드의 platform용 빌드가 없는 이미지입니다(이미지 %s, 노드 %s)", name, images, finding.List(nodesOf(pullPods(g.Items))))
	default:
		return finding.Format("%s: image %s does not exist", "%s: 존재하지 않는 이미지입니다(%s)", name, images)
	}
}

// whatIsMissing says whether tag or repository is missing, as far as the registry or the rest of
// the cluster tells.
func whatIsMissing(present inUse, f snapshot.PullFailure) finding.Text {
	message := strings.ToLower(f.Message)
	if strings.Contains(message, "name unknown") || strings.Contains(message, "name_unknown") || strings.Contains(message, "repository name not known") {
		return finding.Textf("the registry knows no repository %s", "registry가 모르는 repository입니다(%s)", snapshot.ParseImage(f.Image).Repository)
	}
	missing := snapshot.ParseImage(f.Image)
	if p, ok := present.byImage[f.Image]; ok {
		return finding.Textf("pod %s runs this very image on %s, so it has been removed from the registry since",
			"같은 이미지가 이미 실행 중이므로(Pod %s, 노드 %s) 그 뒤에 registry에서 삭제된 것입니다", finding.Qualified(snapshot.SubjectOf(p)), p.Spec.NodeName)
	}
	if r, ok := present.byRepository[missing.Repository]; ok {
		return finding.Textf("the repository exists (pod %s runs %s), its tag %s does not",
			"repository는 존재합니다(실행 중인 Pod %s의 이미지 %s). 없는 것은 태그입니다(%s)", finding.Qualified(snapshot.SubjectOf(r.pod)), r.image, orLatest(missing.Tag))
	}
	if strings.Contains(message, "manifest unknown") || strings.Contains(message, "manifest_unknown") {
		return finding.Textf("the registry has no tag %s", "registry에 없는 태그입니다(%s)", orLatest(missing.Tag))
	}
	return finding.Textf("the answer does not tell whether the tag or the whole repository is missing",
		"태그만 없는지 repository 전체가 없는지는 응답에 나타나지 않습니다")
}

// orLatest is the tag that the kubelet adds where none is written.
func orLatest(tag string) string {
	if tag == "" {
		return "latest"
	}
	return tag
}

func imageRemedies(g group[snapshot.PullFailure], pods []*corev1.Pod, class pullClass, field string) []finding.Remedy {
	if class != pullNotFound {
		return []finding.Remedy{edit(g.Subject, pods, field)}
	}
	push := finding.Remedy{Text: finding.Format("or push %s; the kubelet tries again by itself within 5 minutes",
		"또는 %s 이미지를 push합니다. kubelet이 5분 안에 스스로 다시 시도합니다", imagesOf(g.Items))}
	return []finding.Remedy{edit(g.Subject, pods, field), push}
}

// runner is a pod that runs an image.
type runner struct {
	pod   *corev1.Pod
	image string
}

// inUse is what containers run just now: the first pod of each image and of each repository.
type inUse struct {
	byImage      map[string]*corev1.Pod
	byRepository map[string]runner
}

func imagesInUse(s *snapshot.Snapshot) inUse {
	out := inUse{byImage: map[string]*corev1.Pod{}, byRepository: map[string]runner{}}
	for _, p := range snapshot.List[*corev1.Pod](s) {
		for i := range p.Status.ContainerStatuses {
			c := &p.Status.ContainerStatuses[i]
			image := snapshot.SpecImage(p, c.Name)
			if _, known := out.byImage[image]; known || image == "" || c.State.Running == nil {
				continue
			}
			out.byImage[image] = p
			repository := snapshot.ParseImage(image).Repository
			if _, known := out.byRepository[repository]; !known {
				out.byRepository[repository] = runner{p, image}
			}
		}
	}
	return out
}

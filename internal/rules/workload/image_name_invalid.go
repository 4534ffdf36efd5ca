package workload

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImageNameInvalid",
	Title: finding.Textf("image name is not valid", "이미지 이름이 올바르지 않습니다"),
	Doc: finding.Textf(
		"A container's image cannot be parsed as a reference, so nothing is asked of any registry: a capital letter in the repository, a stray "+
			"space or colon, a template placeholder that was never filled in. It does not pass by itself. Silent for a well-formed name that no registry knows (ImageNotFound).",
		"컨테이너의 이미지 이름을 해석할 수 없어 registry에 요청조차 보내지 못합니다. repository의 대문자, 불필요한 공백이나 콜론, 치환되지 않은 템플릿 변수가 흔한 원인이며 "+
			"저절로 해소되지 않습니다. 형식은 올바르지만 registry에 없는 이름은 ImageNotFound에서 다룹니다."),
	Link:     "https://kubernetes.io/docs/concepts/containers/images/#image-names",
	Severity: finding.Warning,
	Needs:    pullNeeds(),
	Detect:   detectImageNameInvalid,
})

func detectImageNameInvalid(p *rule.Pass) {
	for _, g := range failedPulls(p, pullInvalidName) {
		p.Report(imageNameInvalid(p, g))
	}
}

func imageNameInvalid(p *rule.Pass, g group[snapshot.PullFailure]) finding.Finding {
	first, pods := g.Items[0], pullPods(g.Items)
	h := historyOf(p.Snapshot, g.Subject, pods)
	f := finding.Finding{
		Subject: g.Subject, Mechanism: v1alpha1.MechanismMisconfigured,
		Field: containerField(g.Subject, first.Container, first.Init, ".image"),
		Since: pullSince(g.Items),
		Title: finding.Textf("%s: %q is no valid image name", "%s: 이미지 이름의 형식이 올바르지 않습니다(%q)",
			finding.Qualified(g.Subject), clip(first.Image, imageRunes)),
		Why:      finding.Join("; ", inQuotes(reasonOf(first.Message)), h.brought("image"), h.serving()),
		Evidence: []finding.Evidence{pullEvidence(first)},
	}
	if h.blames("image") {
		f.Evidence = append(f.Evidence, h.revision.evidence()...)
		f.Remedies.Now = h.rollback()
	}
	f.Remedies.Now = append(f.Remedies.Now, edit(g.Subject, pods, f.Field))
	f.Remedies.Later = []finding.Remedy{{Text: finding.Textf(
		"have the pipeline refuse manifests with unfilled placeholders",
		"치환되지 않은 변수가 남은 manifest는 파이프라인에서 거부하십시오")}}
	return aboutPods(p.Snapshot, f, pods)
}

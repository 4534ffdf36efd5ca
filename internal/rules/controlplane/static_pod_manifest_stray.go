package controlplane

import (
	"path"
	"slices"
	"strings"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StaticPodManifestStray",
	Title: finding.Text{EN: "a copy of a manifest lies in the folder of static pods", KO: "static Pod 폴더에 manifest 사본이 있습니다"},
	Doc: finding.Text{
		EN: "The kubelet reads every file in its folder of static pods whose name does not begin with a dot, whatever its ending: a copy that an editor or a person left there (.bak, .orig, ~, .swp) is read as well. Two files that define one " +
			"pod fight over it, and which of them runs can change at any moment; a copy that cannot be read fills the kubelet's log. Hidden files and folders are not read and left alone.",
		KO: "kubelet은 static Pod 폴더에서 이름이 점으로 시작하지 않는 모든 파일을 확장자와 관계없이 읽습니다. 편집기나 사람이 남긴 사본(.bak, .orig, ~, .swp)도 읽습니다. 두 파일이 같은 Pod를 정의하면 서로 충돌하여 " +
			"어느 쪽이 실행될지 언제든 바뀔 수 있고, 읽을 수 없는 사본은 kubelet 로그를 채웁니다. 숨김 파일과 하위 폴더는 읽지 않으므로 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/#dynamic-addition-and-removal-of-static-pods",
	Severity: finding.Warning,
	Machine:  manifestKeys(),
	Detect:   detectStaticPodManifestStray,
})

// copies are the endings of files that editors, packages and people leave beside the one that counts.
var copies = []string{".bak", ".backup", ".old", ".orig", ".save", ".swp", ".swo", ".tmp", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".disabled", "~"}

// stray tells whether a file is by its name a copy of another.
func (f manifest) stray() bool {
	base := path.Base(f.path)
	return slices.ContainsFunc(copies, func(ending string) bool { return strings.HasSuffix(base, ending) }) || strings.Contains(base, ".yaml.") || strings.Contains(base, ".yml.")
}

func detectStaticPodManifestStray(p *rule.Pass) {
	for _, m := range p.Machines() {
		files := manifestsOn(m)
		of := map[string][]manifest{}
		for _, file := range files {
			if file.value("name") != "" {
				pod := file.value("namespace") + "/" + file.value("name")
				of[pod] = append(of[pod], file)
			}
		}
		told := map[string]bool{}
		for _, file := range files {
			twins := of[file.value("namespace")+"/"+file.value("name")]
			switch {
			case told[file.path]:
			case len(twins) > 1:
				stray, kept := chosen(twins)
				for _, t := range twins {
					told[t.path] = true
				}
				p.Report(strayManifest(stray, kept))
			case file.value("error") != "" && file.stray():
				p.Report(strayManifest(file, manifest{}))
			}
		}
	}
}

// chosen takes apart which of the files that define one pod is the copy.
func chosen(twins []manifest) (stray, kept manifest) {
	slices.SortStableFunc(twins, func(a, b manifest) int { return strings.Compare(a.path, b.path) })
	stray, kept = twins[1], twins[0]
	if kept.stray() && !stray.stray() {
		stray, kept = kept, stray
	}
	return stray, kept
}

func strayManifest(stray, kept manifest) finding.Finding {
	m := stray.machine
	f := finding.Finding{
		Subject: m.Subject("File", stray.path), Mechanism: v1alpha1.MechanismMisconfigured, Field: stray.path, Since: m.Time(stray.key("modified")),
		Evidence: []finding.Evidence{m.Evidence(stray.key("modified"))},
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text: finding.Text{EN: "move it out of the folder", KO: "폴더 밖으로 옮깁니다"}, Command: "mkdir -p /root/manifests-backup && mv " + finding.ShellWord(stray.path) + " /root/manifests-backup/", Machine: m.Node(),
			}},
			Later: []finding.Remedy{{Text: finding.Text{EN: "keep copies of manifests outside the folder", KO: "manifest 사본은 폴더 밖에 보관합니다"}}},
		},
	}
	if kept.path == "" {
		f.Severity = finding.Info
		f.Title = finding.Textf("machine %s: %s is read as a static pod's manifest and is none", "머신 %s: %s 파일이 static Pod manifest로 읽히지만 manifest가 아닙니다", m.Node(), stray.path)
		f.Why = finding.Textf("The kubelet reads every file there that does not begin with a dot, and fails with this one each time: %s.", "kubelet은 점으로 시작하지 않는 모든 파일을 읽으며 이 파일에서 매번 실패합니다: %s.", finding.Quote(stray.value("error")))
		return f
	}
	f.Title = finding.Textf("machine %s: %s defines the same static pod as %s", "머신 %s: %s 파일이 %s 파일과 같은 static Pod를 정의합니다", m.Node(), stray.path, kept.path)
	f.Why = finding.Textf("Both define pod %s. The kubelet reads both, and which of them runs can change whenever one is written.", "두 파일 모두 Pod %s를 정의합니다. kubelet은 둘 다 읽으며, 어느 쪽이 실행될지는 파일이 바뀔 때마다 달라질 수 있습니다.", stray.value("name"))
	f.Evidence = append(f.Evidence, m.Evidence(stray.key("name")), m.Evidence(kept.key("name")))
	if a, b := stray.value("arguments-hash"), kept.value("arguments-hash"); a != b {
		f.Why = finding.Join(" ", f.Why, finding.Text{EN: "Their command lines differ, so that the pod may run with the older one.", KO: "두 파일의 명령줄이 달라 Pod가 예전 설정으로 실행될 수 있습니다."})
		f.Evidence = append(f.Evidence, m.Evidence(stray.key("arguments-hash")), m.Evidence(kept.key("arguments-hash")))
	}
	return f
}

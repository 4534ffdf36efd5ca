package controlplane

import (
	"fmt"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "StaticPodManifestInvalid",
	Title: finding.Text{EN: "static pod manifest cannot be read", KO: "static Pod manifest를 읽을 수 없습니다"},
	Doc: finding.Text{
		EN: "The kubelet cannot read a file in its folder of static pods: a typing error, a field of the wrong type, no Pod at all. It drops the pod that the file defined without any event; only its log tells of it. " +
			"The finding names the file, the line and when the file was changed. It is critical where the file is one of the control plane's. Fields that the kubelet passes over, and hidden files, which it does not read, are left alone.",
		KO: "kubelet이 static Pod 폴더의 파일을 읽지 못합니다. 오타, 잘못된 타입의 필드, Pod가 아닌 내용 때문입니다. 그 파일이 정의하던 Pod를 event 없이 제거하며 kubelet 로그에만 남습니다. " +
			"파일, 줄, 변경 시각을 알립니다. control plane의 파일이면 critical입니다. kubelet이 무시하는 필드와 읽지 않는 숨김 파일은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/",
	Severity: finding.Warning,
	Gravest:  finding.Critical,
	Machine:  append(manifestKeys(), addressKeys()...),
	Detect:   detectStaticPodManifestInvalid,
})

func detectStaticPodManifestInvalid(p *rule.Pass) {
	for _, m := range p.Machines() {
		for _, file := range manifestsOn(m) {
			if file.value("error") != "" && !file.stray() {
				p.Report(invalidManifest(p, file))
			}
		}
	}
}

func invalidManifest(p *rule.Pass, file manifest) finding.Finding {
	m, component := file.machine, file.pod()
	f := finding.Finding{
		Subject: m.Subject("File", file.path), Mechanism: v1alpha1.MechanismMisconfigured, Field: file.path,
		Since:    m.Time(file.key("modified")),
		Title:    finding.Textf("machine %s: the kubelet cannot read %s", "머신 %s: kubelet이 %s 파일을 읽지 못합니다", m.Node(), file.path),
		Why:      finding.Textf("The file is no Pod that the kubelet can use: %s.", "kubelet이 사용할 수 있는 Pod가 아닙니다: %s.", finding.Quote(file.value("error"))),
		Evidence: []finding.Evidence{m.Evidence(file.key("error"))},
		Explains: harmed(p, m, component, file.path),
	}
	mend := finding.Remedy{
		Text:    finding.Text{EN: "mend the file; the kubelet takes it up within 20 s, without a restart", KO: "파일을 고칩니다. kubelet이 재시작 없이 20초 안에 반영합니다"},
		Command: "cat " + finding.ShellWord(file.path), Machine: m.Node(),
	}
	if line, ok := m.Int(file.key("error-line")); ok {
		f.Title = finding.Textf("machine %s: the kubelet cannot read %s, line %d", "머신 %s: kubelet이 %s 파일을 읽지 못합니다(%d번째 줄)", m.Node(), file.path, line)
		f.Why = finding.Textf("The file is no Pod that the kubelet can use. Line %d is \"%s\": %s.", "kubelet이 사용할 수 있는 Pod가 아닙니다. %d번째 줄(\"%s\"): %s.", line, finding.Quote(file.value("error-text")), finding.Quote(file.value("error")))
		f.Evidence = append(f.Evidence, m.Evidence(file.key("error-line")), m.Evidence(file.key("error-text")))
		mend.Command = fmt.Sprintf("sed -n '%d,%dp' %s", max(1, line-3), line+3, finding.ShellWord(file.path))
	}
	if !f.Since.IsZero() {
		f.Evidence = append(f.Evidence, m.Evidence(file.key("modified")))
		f.Why = finding.Join(" ", f.Why, finding.Textf("It was changed at %s.", "변경된 시각: %s.", finding.Clock(m.ObservedAt(), f.Since)))
	}
	f.Why = finding.Join(" ", f.Why, finding.Text{EN: "The kubelet has dropped its pod, and no event says so.", KO: "kubelet이 해당 Pod를 제거했으며 event에는 남지 않습니다."})
	severity, effect := suffers(p, m, component)
	f.Severity, f.Why = severity, finding.Join(" ", f.Why, effect)
	f.Remedies = finding.Remedies{
		Now: []finding.Remedy{mend, {
			Text: finding.Text{EN: "see that its container comes up", KO: "컨테이너가 시작되는지 확인합니다"}, Command: "crictl ps --name " + finding.ShellWord(component), Machine: m.Node(),
		}},
		Later: []finding.Remedy{{Text: finding.Text{
			EN: "edit a copy outside the folder, check it with kubectl apply --dry-run=client -f, and move it in; or change it with kubeadm",
			KO: "폴더 밖의 사본을 수정하고 kubectl apply --dry-run=client -f로 확인한 뒤 옮겨 넣거나 kubeadm으로 변경합니다",
		}}},
	}
	return f
}

package probes

import (
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ExecProbeVariableEmpty",
	Title: finding.Textf("probe's command uses a variable that is empty there", "probe 명령이 그곳에서는 비어 있는 변수를 사용합니다"),
	Doc: finding.Textf(
		"The command of an exec probe has $(NAME) of a variable whose value comes from a Secret, a ConfigMap or a field (valueFrom). In the command of a container that is filled in; in that of a probe the kubelet fills in only values that are "+
			"written out, and puts nothing where valueFrom is: the command runs without its argument. A shell that is given $NAME instead finds the variable in the container's environment. Left alone: variables that are written out, $$(NAME), and names that are no variables.",
		"exec probe의 명령에 Secret, ConfigMap, 필드에서 값을 가져오는(valueFrom) 변수의 $(NAME)이 있습니다. 컨테이너의 명령에서는 값이 채워지지만 probe의 명령에서는 kubelet이 직접 적힌 값만 채우고 valueFrom 변수는 빈 문자열로 바꾸므로 명령이 인자 없이 실행됩니다. "+
			"셸에서 $NAME으로 쓰면 컨테이너의 환경 변수에서 찾습니다. 값이 직접 적힌 변수, $$(NAME), 변수가 아닌 이름은 제외합니다."),
	Link:     "https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for one := range eachFirst(p.Snapshot, func(one probe) bool { return one.emptyVariable() != "" }) {
			name := one.emptyVariable()
			p.Report(finding.Finding{
				Subject: one.of.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: one.field(".exec.command"), Explains: []finding.Subject{one.of.workload},
				Title: finding.Textf("%s: the command of the %s probe of container %s uses $(%s), which is empty there",
					"%s: %[3]s 컨테이너의 %[2]s probe 명령이 그곳에서는 비어 있는 $(%[4]s)를 사용합니다", finding.Named(one.of.workload), one.kind, one.container.Name, name),
				Why:      finding.Textf("the variable %s comes from valueFrom, and a kubelet fills only values that are written out into the command of a probe", "변수 %s는 valueFrom에서 오며 kubelet은 probe 명령에 직접 적힌 값만 채웁니다", name),
				Evidence: []finding.Evidence{{Source: finding.Named(one.of.workload), Path: one.place.field(".env[" + name + "].valueFrom"), Value: "(set)"}},
				Remedies: finding.Remedies{Later: []finding.Remedy{one.edit(".exec.command", finding.Textf(
					"let a shell of the container read it: [sh, -c, '... \"$%s\" ...']", "컨테이너의 셸에서 읽게 합니다: [sh, -c, '... \"$%s\" ...']", name))}},
			})
		}
	},
})

// reference is $(NAME) as the kubelet finds it; a second $ before it makes it plain text
// (k8s.io/kubernetes/third_party/forked/golang/expansion).
var reference = regexp.MustCompile(`(^|[^$])\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)`)

// emptyVariable is the first variable in the probe's command for which the kubelet puts nothing
// (k8s.io/kubernetes/pkg/kubelet/container/helpers.go, ExpandContainerCommandOnlyStatic).
func (p probe) emptyVariable() string {
	if p.spec.Exec == nil {
		return ""
	}
	for _, word := range p.spec.Exec.Command {
		for _, m := range reference.FindAllStringSubmatch(word, -1) {
			if slices.ContainsFunc(p.container.Env, func(e corev1.EnvVar) bool { return e.Name == m[2] && e.ValueFrom != nil }) {
				return m[2]
			}
		}
	}
	return ""
}

package controlplane

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "VersionSkew",
	Title: finding.Text{EN: "versions are further apart than supported", KO: "버전 차이가 지원 범위를 벗어났습니다"},
	Doc: finding.Text{
		EN: "Kubelets, the controller manager or the scheduler are of a version that is not supported with that of the API server: newer than it, or a kubelet more than three minor versions older, or one of the control plane more than " +
			"one. Much works all the same and what does not fails strangely. Nodes of several minor versions within what is supported are an upgrade in progress, or one that was left half done: info. Patch versions do not matter.",
		KO: "kubelet, controller manager, scheduler의 버전이 API server와 함께 지원되지 않는 조합입니다. API server보다 새롭거나, kubelet은 minor 버전 3개, control plane 구성 요소는 1개를 넘게 오래된 경우입니다. 대부분 동작하지만 일부가 예상과 " +
			"다르게 실패할 수 있습니다. 지원 범위 안에서 노드의 minor 버전이 여러 가지이면 업그레이드 중이거나 중단된 것이므로 info입니다. patch 버전은 비교하지 않습니다.",
	},
	Link:     "https://kubernetes.io/releases/version-skew-policy/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Any[*corev1.Node](), rule.Optional[*corev1.Pod]()},
	Detect:   detectVersionSkew,
})

// How many minor versions older than the API server a component may be
// (https://kubernetes.io/releases/version-skew-policy/#supported-version-skew).
const (
	kubeletBehind    = 3
	oldKubeletBehind = 2 // for kubelets before 1.25
	leaderBehind     = 1
)

func detectVersionSkew(p *rule.Pass) {
	api := p.API()
	server, err := version.ParseGeneric(api.Version)
	if err != nil {
		if api.Asked && api.Failure == nil {
			p.Skip(finding.Text{EN: "the version of the API server is not known", KO: "API server의 버전을 알 수 없습니다"})
		}
		return
	}
	var wrong []string
	var evidence []finding.Evidence
	minors := map[string]int{}
	add := func(name, source, path, value string, v *version.Version, behind int) {
		if distance := int(server.Minor()) - int(v.Minor()); v.Major() == server.Major() && (distance < 0 || distance > behind) {
			wrong = append(wrong, name)
			const readable = 4
			if len(evidence) < readable {
				evidence = append(evidence, finding.Evidence{Source: source, Path: path, Value: value})
			}
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		reported := n.Status.NodeInfo.KubeletVersion
		v, err := version.ParseGeneric(reported)
		if err != nil || snapshot.VirtualNode(n) {
			continue
		}
		behind := kubeletBehind
		if v.LessThan(version.MajorMinor(1, 25)) {
			behind = oldKubeletBehind
		}
		minors[fmt.Sprintf("v%d.%d", v.Major(), v.Minor())]++
		add(n.Name+" ("+reported+")", "Node "+n.Name, ".status.nodeInfo.kubeletVersion", reported, v, behind)
	}
	for _, component := range []string{"kube-controller-manager", "kube-scheduler"} {
		for _, pod := range p.ControlPlanePods(component) {
			image := snapshot.SpecImage(pod, component)
			v, err := version.ParseGeneric(image[strings.LastIndexByte(image, ':')+1:])
			if err != nil {
				continue
			}
			add(pod.Name+" ("+image[strings.LastIndexByte(image, ':')+1:]+")", finding.Named(snapshot.SubjectOf(pod)), ".spec.containers["+component+"].image", image, v, leaderBehind)
		}
	}
	evidence = append([]finding.Evidence{{Source: source(api), Path: "/version", Value: api.Version}}, evidence...)
	switch {
	case len(wrong) > 0:
		names := finding.List(wrong)
		p.Report(finding.Finding{
			Subject: endpoint(api), Mechanism: v1alpha1.MechanismMisconfigured,
			Title: finding.Format("API server is %s, and these versions are not supported with it: %s", "API server(%s)와 함께 지원되지 않는 버전이 있습니다: %s", finding.Verbatim(api.Version), names),
			Why: finding.Text{
				EN: "Nothing that they run may be newer than the API server; kubelets may be up to three minor versions older, the controller manager and the scheduler one. Beyond that fields are dropped and calls fail that nobody tested together.",
				KO: "어떤 구성 요소도 API server보다 새로울 수 없으며, kubelet은 minor 버전 3개, controller manager와 scheduler는 1개까지 오래될 수 있습니다. 이를 벗어나면 필드가 무시되거나 호출이 실패할 수 있습니다.",
			},
			Evidence: evidence,
			Remedies: finding.Remedies{
				Now: []finding.Remedy{
					{Text: finding.Text{EN: "see all versions side by side", KO: "모든 버전을 확인합니다"}, Command: "kubectl version; kubectl get nodes"},
					{Text: finding.Text{
						EN: "upgrade the API server first where something is newer than it, else the nodes, one minor version at a time",
						KO: "API server보다 새로운 것이 있으면 API server를 먼저, 그렇지 않으면 노드를 minor 버전 하나씩 업그레이드합니다",
					}},
				},
				Later: []finding.Remedy{{Text: finding.Text{
					EN: "upgrade API servers, then the rest of the control plane, then kubelets, and finish one minor version before the next",
					KO: "API server, 나머지 control plane, kubelet 순서로 업그레이드하고 한 minor 버전을 끝낸 뒤 다음으로 넘어갑니다",
				}}},
			},
		})
	case len(minors) > 1:
		var parts []string
		for _, m := range slices.Sorted(maps.Keys(minors)) {
			parts = append(parts, fmt.Sprintf("%s: %d", m, minors[m]))
		}
		list := strings.Join(parts, ", ")
		p.Report(finding.Finding{
			Severity: finding.Info, Subject: endpoint(api), Mechanism: v1alpha1.MechanismDegraded,
			Title: finding.Textf("nodes run several minor versions (%s): an upgrade is in progress, or was left half done", "노드의 minor 버전이 여러 가지입니다(%s): 업그레이드 중이거나 중단된 상태입니다", list),
			Why: finding.Text{
				EN: "All of them are supported with the API server's version. That nodes go one after another meanwhile is planned.",
				KO: "모두 API server 버전과 함께 지원됩니다. 업그레이드하는 동안 노드가 차례로 빠지는 것은 계획된 동작입니다.",
			},
			Evidence: append(evidence, finding.Evidence{Source: "Nodes", Path: ".status.nodeInfo.kubeletVersion", Value: list}),
		})
	}
}

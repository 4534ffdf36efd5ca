package controlplane

import (
	"fmt"
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
	Code:  "StaticPodMissing",
	Title: finding.Text{EN: "static pod of the control plane is gone from a node", KO: "노드에서 control plane static Pod가 사라졌습니다"},
	Doc: finding.Text{
		EN: "One control-plane node lacks a static pod that the others have, while its kubelet reports and runs the others: the manifest was moved away, or cannot be read (a typing error makes the kubelet drop the pod without any event). " +
			"It is a warning, for the others do the work. Where it is the only one of its kind, that is SchedulerDown, ControllerManagerDown or ApiServerUnreachable. A node that does not report, one that joined within ten minutes, nodes with " +
			"another role, and the moments in which an upgrade exchanges manifests are left alone.",
		KO: "control plane 노드 하나에 다른 노드에는 있는 static Pod가 없는데, 그 노드의 kubelet은 보고하고 있으며 다른 static Pod를 실행합니다. manifest가 옮겨졌거나 읽을 수 없는 상태입니다(YAML 오타가 있으면 kubelet이 event 없이 Pod를 제거합니다). " +
			"다른 노드가 일을 이어받으므로 warning입니다. 유일한 것이었다면 SchedulerDown, ControllerManagerDown, ApiServerUnreachable입니다. 보고하지 않는 노드, 10분 안에 참여한 노드, 역할이 다른 노드, 업그레이드가 manifest를 교체하는 짧은 순간은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Whole[*corev1.Pod](), rule.Whole[*corev1.Node](), rule.Whole[*coordinationv1.Lease]()},
	Causes: []rule.Cause{
		{Code: "StaticPodManifestInvalid", Via: rule.Itself},
		{Code: "StaticPodManifestMissing", Via: rule.Itself},
	},
	Detect: detectStaticPodMissing,
})

// staticComponents are what kubeadm runs as static pods
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, ControlPlaneComponents, Etcd).
var staticComponents = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}

const (
	// joining is how long a new control-plane node may take to have all of its static pods.
	joining = 10 * time.Minute
	// exchanging is how long after one of a node's static pods was made anew another may be missing:
	// kubeadm upgrades them one after another, and waits up to five minutes for each
	// (k8s.io/kubernetes/cmd/kubeadm/app/constants, UpgradeManifestTimeout).
	exchanging = 5 * time.Minute
)

func detectStaticPodMissing(p *rule.Pass) {
	has := map[string]map[string]*corev1.Pod{}
	count := map[string]int{}
	for _, component := range staticComponents {
		for _, pod := range p.ControlPlanePods(component) {
			if has[pod.Spec.NodeName] == nil {
				has[pod.Spec.NodeName] = map[string]*corev1.Pod{}
			}
			has[pod.Spec.NodeName][component] = pod
		}
	}
	// A node with one of them alone has a role of its own, as one that runs etcd only.
	alike := 0
	for _, pods := range has {
		if len(pods) > 1 {
			alike++
			for component := range pods {
				count[component]++
			}
		}
	}
	for _, n := range snapshot.List[*corev1.Node](p.Snapshot) {
		pods := has[n.Name]
		w := p.Writer(snapshot.KubeletOn(n.Name))
		if len(pods) < 2 || w.State != snapshot.Alive || p.Now().Sub(n.CreationTimestamp.Time) < joining {
			continue
		}
		var missing []string
		for _, component := range staticComponents {
			if pods[component] == nil && 2*count[component] > alike-1 && count[component] > 0 {
				missing = append(missing, component)
			}
		}
		if len(missing) > 0 {
			p.Report(withoutStaticPods(p, n, missing, pods, w, alike))
		}
	}
}

func withoutStaticPods(p *rule.Pass, n *corev1.Node, missing []string, pods map[string]*corev1.Pod, w snapshot.Freshness, alike int) finding.Finding {
	list := strings.Join(missing, ", ")
	file := "/etc/kubernetes/manifests/" + missing[0] + ".yaml"
	f := finding.Finding{
		Subject: finding.Subject{Kind: "File", Name: file, Machine: n.Name}, Mechanism: v1alpha1.MechanismMissing, Confidence: v1alpha1.ConfidenceMedium,
		Title: finding.Textf("control-plane node %s does not run %s: its static pod is gone", "control plane 노드(%s)에서 %s 컴포넌트가 실행되지 않습니다: static Pod가 없습니다", n.Name, list),
		Why: finding.Textf("The other control-plane nodes run %[2]s (%[3]d nodes in all), and the kubelet on %[1]s reports and runs its other static pods. So the manifest %[4]s was moved away, or the kubelet cannot read it: of one with a typing error only the kubelet's log tells. The other nodes do the work meanwhile.",
			"control plane 노드 %[3]d대 중 나머지는 %[2]s static Pod를 실행하고, %[1]s의 kubelet은 보고하고 있으며 다른 static Pod를 실행합니다. 따라서 manifest %[4]s 파일이 옮겨졌거나 kubelet이 읽지 못하는 것입니다. 오타가 있는 manifest는 kubelet 로그에만 나타납니다. 그동안 다른 노드가 일을 이어받습니다.",
			n.Name, list, alike, file),
		Evidence: append([]finding.Evidence{{Source: "Pods in kube-system", Path: ".metadata.name", Value: fmt.Sprintf("no %s-%s", missing[0], n.Name)}}, w.Evidence...),
		Remedies: finding.Remedies{
			Now: []finding.Remedy{{
				Text: finding.Text{
					EN: "is the manifest there (once it is back or mended the kubelet starts it), and what does the kubelet say about it",
					KO: "manifest가 있는지 확인하고(되돌리거나 고치면 kubelet이 바로 시작합니다) kubelet 로그를 봅니다",
				},
				Command: "ls -l /etc/kubernetes/manifests; journalctl -u kubelet -n 200 --no-pager | grep -i manifest", Machine: n.Name,
			}},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "keep manifests in version control, and change them with kubeadm rather than by hand",
				KO: "manifest를 버전 관리하고 직접 수정하는 대신 kubeadm으로 변경합니다",
			}}},
		},
	}
	for _, component := range staticComponents {
		pod := pods[component]
		f.Settling = f.Settling || pod != nil && p.Now().Sub(pod.CreationTimestamp.Time) < exchanging
	}
	f.RuledOut = []finding.Statement{{
		Text:     finding.Textf("the kubelet on %s: it reports", "%s의 kubelet: 보고하고 있습니다", n.Name),
		Evidence: w.Evidence,
	}}
	return f
}

package runtime

import (
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
	Code:  "PodOrphaned",
	Title: finding.Text{EN: "containers run on a machine that the API server does not know of", KO: "API server가 알지 못하는 컨테이너가 머신에서 실행 중입니다"},
	Doc: finding.Text{
		EN: "A machine runs containers of pods that the API server has no object for, and there is no kubelet that will end them: the Node object was deleted, or the kubelet does not report. They hold addresses, volumes and ports, and work " +
			"beside those that replaced them: two writers where one is meant. Pods that a living kubelet is just ending, static pods and pods younger than the reading are left alone.",
		KO: "API server에 객체가 없는 Pod의 컨테이너가 머신에서 실행 중이며 이를 종료할 kubelet이 없습니다. Node 객체가 삭제되었거나 kubelet이 보고하지 않는 경우입니다. 주소, 볼륨, 포트를 점유하며 대체된 Pod와 동시에 동작하여 쓰는 쪽이 둘이 될 수 있습니다. " +
			"살아 있는 kubelet이 종료 중인 Pod, static Pod, 방금 시작한 Pod는 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller",
	Severity: finding.Warning,
	Needs:    []rule.Need{rule.Optional[*corev1.Pod](), rule.Optional[*corev1.Node](), rule.Optional[*coordinationv1.Lease]()},
	Machine:  []snapshot.EvidenceKey{"sandbox/*/*"},
	Causes:   []rule.Cause{{Code: "EtcdDataLost", Via: rule.Cluster}},
	Detect:   detectPodOrphaned,
})

// settled is how old a sandbox must be for the lack of its pod to mean something.
const settled = 5 * time.Minute

func detectPodOrphaned(p *rule.Pass) {
	if !p.Coverage(snapshot.KindOf[*corev1.Pod]()).Known() || !p.Coverage(snapshot.KindOf[*corev1.Node]()).Known() || p.Coverage(snapshot.KindOf[*corev1.Pod]()).FromCache {
		return
	}
	known := map[string]bool{}
	for _, pod := range snapshot.List[*corev1.Pod](p.Snapshot) {
		known[string(pod.UID)] = true
	}
	for _, m := range p.Machines() {
		_, registered := snapshot.Get[*corev1.Node](p.Snapshot, "", m.Node())
		kubelet := p.Writer(snapshot.KubeletOn(m.Node()))
		if registered && kubelet.State != snapshot.Dead {
			continue
		}
		var pods []string
		f := finding.Finding{Subject: m.Subject("Machine", m.Node()), Mechanism: v1alpha1.MechanismMissing, WaitsFor: []finding.Subject{{Kind: "Node", Name: m.Node()}}}
		for _, uid := range m.Names("sandbox/*/pod") {
			key := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("sandbox", uid, what) }
			running, _ := m.Int(key("running"))
			made := m.Time(key("created"))
			if running == 0 || known[uid] || m.True(key("static")) || made.IsZero() || m.ObservedAt().Sub(made) < settled {
				continue
			}
			pods = append(pods, m.Value(key("pod")))
			const shown = 5
			if len(f.Evidence) < shown {
				f.Evidence = append(f.Evidence, m.Evidence(key("pod")))
			}
		}
		if len(pods) == 0 {
			continue
		}
		slices.Sort(pods)
		why := finding.Textf("There is no Node %s: its kubelet is told nothing any more.", "Node %s 객체가 없어 kubelet이 더 이상 지시를 받지 못합니다.", m.Node())
		now := []finding.Remedy{{Text: finding.Text{EN: "let the kubelet register again; it then ends what the API server does not know", KO: "kubelet을 다시 등록합니다. 그러면 API server가 알지 못하는 Pod를 종료합니다"}, Command: "systemctl restart kubelet", Machine: m.Node()}}
		if registered {
			f.Since = kubelet.LastSeen
			f.Evidence = append(f.Evidence, kubelet.Evidence...)
			why = finding.Textf("The kubelet on %s has not reported since %s, so that nobody ends them.", "%s의 kubelet이 %s부터 보고하지 않아 종료할 주체가 없습니다.", m.Node(), finding.Clock(p.Now(), kubelet.LastSeen))
			now = []finding.Remedy{{Text: finding.Text{EN: "see why the kubelet does not report; once it does, it ends them", KO: "kubelet이 보고하지 않는 이유를 확인합니다. 복구되면 이 Pod를 종료합니다"}, Command: "systemctl status kubelet; journalctl -u kubelet -n 50 --no-pager", Machine: m.Node()}}
		}
		f.Title = finding.Format("containers of %s run on %s that the API server does not know of", "%[2]s에서 API에 객체가 없는 %[1]s가 실행 중입니다", finding.Pods(len(pods)), finding.Verbatim(m.Node()))
		f.Why = finding.Join(" ", why, finding.Format("Of %s: they work beside what replaced them.", "해당 Pod는 %s이며, 대체된 Pod와 동시에 동작합니다.", finding.List(pods)))
		f.Remedies = finding.Remedies{Now: append(now, finding.Remedy{
			Text:    finding.Text{EN: "or end one by hand, where it must not write beside its replacement", KO: "대체된 Pod와 동시에 쓰면 안 되는 경우 직접 종료합니다"},
			Command: "crictl stopp $(crictl pods -q --name " + podName(pods[0]) + ")", Machine: m.Node(),
		})}
		p.Report(f)
	}
}

func podName(pod string) string {
	_, name, _ := strings.Cut(pod, "/")
	return name
}

package runtime

import (
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerRuntimeNotReady",
	Title: finding.Text{EN: "container runtime says that it is not ready", KO: "컨테이너 런타임이 준비되지 않았다고 보고합니다"},
	Doc: finding.Text{
		EN: "The container runtime answers and says itself that it cannot make containers (RuntimeReady), or no network for pods (NetworkReady): most often /etc/cni/net.d holds no configuration that it can read, because the network plugin's " +
			"pod has not run on this machine. No pod but those in the host's network starts there. The first minute of a new machine is settling.",
		KO: "컨테이너 런타임이 응답은 하지만 컨테이너를 만들 수 없거나(RuntimeReady) Pod 네트워크를 만들 수 없다고(NetworkReady) 보고합니다. 대개 네트워크 플러그인의 Pod가 이 머신에서 실행된 적이 없어 /etc/cni/net.d에 읽을 수 있는 설정이 없는 경우입니다. " +
			"호스트 네트워크를 쓰는 Pod 외에는 시작되지 않습니다. 새 머신의 처음 1분은 제외합니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/network-plugins/",
	Severity: finding.Warning,
	Machine:  []snapshot.EvidenceKey{"cri/endpoint", "cri/answer", "cri/condition/*/*"},
	For:      time.Minute,
	Causes:   []rule.Cause{{Code: "CniConfigMissing", Via: rule.OnMachine}, {Code: "CniConfigInvalid", Via: rule.OnMachine}},
	Detect:   detectContainerRuntimeNotReady,
})

func detectContainerRuntimeNotReady(p *rule.Pass) {
	for _, m := range p.Machines() {
		if m.Value("cri/answer") != "yes" {
			continue
		}
		f := finding.Finding{Subject: m.Subject("Endpoint", m.Value("cri/endpoint")), Mechanism: v1alpha1.MechanismFailing}
		var not, said []string
		// The conditions that the kubelet demands (k8s.io/cri-api/pkg/apis/runtime/v1/constants.go).
		for _, c := range []string{"RuntimeReady", "NetworkReady"} {
			k := snapshot.KeyOf("cri", "condition", c, "status")
			if m.Value(k) != "false" {
				continue
			}
			not = append(not, c)
			f.Since = finding.Earlier(f.Since, m.Since(k))
			f.Evidence = append(f.Evidence, m.Evidence(k))
			if message := snapshot.KeyOf("cri", "condition", c, "message"); m.Value(message) != "" {
				f.Evidence = append(f.Evidence, m.Evidence(message))
				said = append(said, finding.Quote(m.Value(message)))
			}
		}
		if len(not) == 0 {
			continue
		}
		f.Title = finding.Textf("container runtime on %s is not ready (%s): %s", "%s의 컨테이너 런타임이 준비되지 않았습니다(%s): %s", m.Node(), strings.Join(not, ", "), strings.Join(said, "; "))
		f.Why = finding.Text{EN: "It says so itself. Pods that run go on; new ones do not start.", KO: "런타임 자신의 보고입니다. 실행 중인 Pod는 계속 실행되지만 새 Pod는 시작되지 않습니다."}
		unit := unitOf(m.Value("cri/endpoint"))
		f.Remedies.Now = []finding.Remedy{{Text: finding.Text{EN: "see what it says of it", KO: "관련 로그를 확인합니다"}, Command: "journalctl -u " + unit + " -n 50 --no-pager", Machine: m.Node()}}
		if not[len(not)-1] == "NetworkReady" {
			f.Remedies.Now = append([]finding.Remedy{{
				Text:    finding.Text{EN: "is there a configuration, and the program that it names", KO: "설정이 있는지, 설정에 지정된 프로그램이 있는지 확인합니다"},
				Command: "ls -l /etc/cni/net.d /opt/cni/bin; cat /etc/cni/net.d/*", Machine: m.Node(),
			}}, f.Remedies.Now...)
		}
		p.Report(f)
	}
}

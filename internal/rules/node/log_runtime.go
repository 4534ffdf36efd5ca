package node

import (
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ImageStoreDamaged",
	Title: finding.Text{EN: "container runtime's store of images is damaged", KO: "컨테이너 런타임의 이미지 저장소가 손상되었습니다"},
	Doc: finding.Text{
		EN: "Within the last half hour the container runtime failed several times to unpack or mount image layers because what it keeps is damaged: after a crash, a full disk or disk errors. Containers whose images share those layers do not start on " +
			"this machine, and start elsewhere. Pulls that were cancelled are left alone.",
		KO: "최근 30분 안에 컨테이너 런타임이 보관 중인 데이터의 손상 때문에 이미지 layer를 풀거나 mount하는 데 여러 번 실패했습니다. 비정상 종료, 디스크 부족, 디스크 오류 뒤에 생깁니다. 그 layer를 쓰는 이미지의 컨테이너는 이 머신에서만 시작하지 못합니다. " +
			"취소된 pull은 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images",
	Severity: finding.Warning,
	Machine:  logKeys("image-layer-broken"),
	Causes: []rule.Cause{
		{Code: "FilesystemDamaged", Via: rule.OnMachine},
		{Code: "DiskErrors", Via: rule.OnMachine},
	},
	Detect: detectLogged([]string{"image-layer-broken"}, func(m snapshot.Machine, all []logged) finding.Finding {
		f := logFinding(m, all, v1alpha1.MechanismFailing,
			finding.Textf("machine %s: the container runtime's store of images is damaged", "머신 %s: 컨테이너 런타임의 이미지 저장소가 손상되었습니다", m.Node()),
			finding.Text{EN: "Containers whose images share the damaged layers do not start here.", KO: "손상된 layer를 쓰는 이미지의 컨테이너가 여기서 시작하지 못합니다."})
		f.Field = ""
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{
				{Text: finding.Text{EN: "which images fail", KO: "실패하는 이미지를 확인합니다"}, Command: "crictl images; journalctl -u containerd -u docker -u crio --since -1h --no-pager | grep -iE 'layer|overlay2' | tail -20", Machine: m.Node()},
				{Text: finding.Text{EN: "remove such an image, so that it is pulled anew", KO: "해당 이미지를 지워 다시 받게 합니다"}, Command: "crictl rmi IMAGE", Machine: m.Node()},
			},
			Later: []finding.Remedy{{Text: finding.Text{
				EN: "where that does not help, drain the machine, stop kubelet and runtime, and empty the runtime's folder",
				KO: "해결되지 않으면 머신을 drain하고 kubelet과 런타임을 멈춘 뒤 런타임 폴더를 비웁니다",
			}}},
		}
		return f
	}),
})

var _ = Catalog.Add(rule.Rule{
	Code:  "ContainerCreationFailing",
	Title: finding.Text{EN: "container runtime cannot create containers", KO: "컨테이너 런타임이 컨테이너를 만들지 못합니다"},
	Doc: finding.Text{
		EN: "Within the last ten minutes the container runtime failed several times to create containers, or to start processes at all, for reasons of the machine: not because a container's command is not in its image, which is that Pod's own fault.",
		KO: "최근 10분 안에 컨테이너 런타임이 머신의 문제로 컨테이너를 만들거나 프로세스를 시작하는 데 여러 번 실패했습니다. 컨테이너의 명령이 이미지에 없는 경우는 그 Pod의 문제이므로 대상이 아닙니다.",
	},
	Link:     "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
	Severity: finding.Warning,
	Machine:  logKeys("container-create-failed", "fork-failed"),
	Causes: []rule.Cause{
		{Code: "ProcessLimitReached", Via: rule.OnMachine},
		{Code: "FilesystemFull", Via: rule.OnMachine},
		{Code: "FilesystemReadOnly", Via: rule.OnMachine},
		{Code: "FilesystemDamaged", Via: rule.OnMachine},
	},
	Detect: detectLogged([]string{"container-create-failed", "fork-failed"}, func(m snapshot.Machine, all []logged) finding.Finding {
		f := logFinding(m, all, v1alpha1.MechanismFailing,
			finding.Textf("machine %s: the container runtime cannot create containers", "머신 %s: 컨테이너 런타임이 컨테이너를 만들지 못합니다", m.Node()),
			finding.Text{EN: "Pods that are placed here do not start.", KO: "여기에 배치된 Pod가 시작하지 못합니다."})
		f.Field = ""
		f.Remedies = finding.Remedies{
			Now: []finding.Remedy{{
				Text: finding.Text{EN: "what the runtime says", KO: "런타임의 메시지를 확인합니다"}, Machine: m.Node(),
				Command: "journalctl -u containerd -u docker -u crio -u kubelet --since -15min --no-pager | grep -iE 'create failed|fork/exec|shim' | tail -20",
			}},
			Later: []finding.Remedy{{Text: finding.Text{EN: "keep runc and the runtime at versions that were released together", KO: "runc와 런타임을 함께 배포된 버전으로 유지합니다"}}},
		}
		return f
	}),
})

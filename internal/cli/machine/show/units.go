package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/finding"
)

// units is what systemctl status tells, and how what they run answers.
var units = part{
	name: "units", prefixes: []string{"unit", "component", "kubelet", "static-pod", "static-pod-folder", "cri"},
	monitors: []string{"units", "components", "kubelet", "staticpods", "cri"},
	tables: []table{
		{
			title: label("Units", "유닛"), names: under("unit/*/active-state", "unit/*/load-state"),
			columns: []column{
				itself(label("UNIT", "유닛")),
				{headState, func(v *view, name string) string {
					state := v.m.Value(at("unit/*/active-state", name))
					if sub := v.m.Value(at("unit/*/sub-state", name)); sub != "" && sub != state {
						state += " (" + sub + ")"
					}
					return state
				}},
				since(headSince, "unit/*/active-state"),
				text(label("PID", "PID"), "unit/*/main-pid"),
				{label("RESTARTS", "재시작"), restarts},
				text(label("AT BOOT", "부팅 시"), "unit/*/file-state"),
				{label("ENDED", "종료"), func(v *view, name string) string {
					result := v.m.Value(at("unit/*/result", name))
					if result == "success" {
						return ""
					}
					return strings.TrimSpace(result + " " + v.m.Value(at("unit/*/exit-code", name)) + " " + v.m.Value(at("unit/*/exit-status", name)))
				}},
				notes(label("NOTES", "비고"),
					moment(label("failing since", "실패 시작"), "unit/*/failing-since"),
					yes(finding.Text{}, "unit/*/needs-reload", label("its file changed: systemctl daemon-reload", "유닛 파일이 바뀜: systemctl daemon-reload")),
					text(finding.Text{}, "unit/*/last-error")),
			},
		},
		{
			title: label("kubelet", "kubelet"), names: once("kubelet/process/running", "kubelet/healthz/outcome"),
			columns: []column{
				yes(label("PROCESS", "프로세스"), "kubelet/process/running", label("runs", "실행 중")),
				answered(label("HEALTHZ", "healthz"), "kubelet/healthz"),
				answered(label("PORT 10250", "포트 10250"), "kubelet/server"),
				answered(label("API SERVER", "API server"), "kubelet/api-server"),
				text(label("AT", "API 주소"), "kubelet/api-server/url"),
				text(label("CGROUP", "cgroup"), "kubelet/host/cgroup-version"),
				moment(label("CONFIG CHANGED", "설정 변경"), "kubelet/config/modified"),
				firstOf(headError, "kubelet/config/error", "kubelet/kubeconfig/error", "kubelet/client-certificate/error", "kubelet/healthz/error", "kubelet/server/error", "kubelet/api-server/error"),
			},
		},
		{
			title: label("Container runtime", "Container runtime"), names: once("cri/answer"),
			columns: []column{
				text(headName, "cri/runtime"), text(headVersion, "cri/version"), text(headAnswer, "cri/answer"), seconds(headTook, "cri/seconds"),
				text(label("READY", "준비"), "cri/condition/RuntimeReady/status"), text(label("NETWORK", "네트워크"), "cri/condition/NetworkReady/status"),
				text(label("SANDBOXES", "sandbox"), "cri/sandboxes/ready"), text(label("ENDED", "종료됨"), "cri/sandboxes/not-ready"),
				text(label("SOCKET", "소켓"), "cri/endpoint"), firstOf(headError, "cri/error", "cri/condition/RuntimeReady/message", "cri/condition/NetworkReady/message"),
			},
		},
		{
			title: label("Components of Kubernetes here", "이 머신의 Kubernetes 구성 요소"), names: under("component/*/from"),
			columns: []column{
				itself(headName),
				answered(headAnswer, "component/*"),
				text(label("READYZ", "readyz"), "component/*/ready-status"),
				seconds(headTook, "component/*/latency-seconds"),
				text(label("PROCESSES", "프로세스"), "component/*/processes"),
				text(label("ASKED AT", "질의 주소"), "component/*/endpoint"),
				text(label("RUNS AS", "실행 방식"), "component/*/from"),
				firstOf(headError, "component/*/error", "component/*/last-error", "component/*/ready-body", "component/*/body"),
			},
		},
		{
			title: label("Static pods", "Static Pod"), names: under("static-pod/*/name", "static-pod/*/error"),
			columns: []column{
				itself(headFile),
				text(headPod, "static-pod/*/name"),
				moment(headChanged, "static-pod/*/modified"),
				text(label("MODE", "권한"), "static-pod/*/mode"),
				text(label("IMAGE", "이미지"), "static-pod/*/image"),
				firstOf(headError, "static-pod/*/error", "static-pod/*/ignored"),
			},
		},
	},
}

// restarts are those since the unit was last started by hand, and how many of them were of late.
func restarts(v *view, name string) string {
	all := v.m.Value(at("unit/*/restarts", name))
	if n, ok := v.m.Int(at("unit/*/restarts-10m", name)); ok && n > 0 {
		return finding.Textf("%s, %d in 10 min", "%s, 최근 10분 %d", all, n).In(v.o.Language)
	}
	return all
}

// answered is a column of how something answers: the HTTP status where there is one.
func answered(head finding.Text, below string) column {
	return column{head, func(v *view, name string) string {
		outcome, status := v.m.Value(at(below+"/outcome", name)), v.m.Value(at(below+"/status", name))
		if status != "" {
			return status
		}
		return outcome
	}}
}

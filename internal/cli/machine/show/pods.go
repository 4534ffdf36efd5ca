package show

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
)

// pods is what crictl pods tells.
var pods = part{
	name: "pods", prefixes: []string{"sandbox"}, monitors: []string{"cri"},
	tables: []table{{
		title: label("Pods that the container runtime has here", "이 머신의 container runtime이 가진 Pod"), names: byPod,
		columns: []column{
			text(headPod, "sandbox/*/pod"), text(headState, "sandbox/*/state"), moment(headSince, "sandbox/*/created"),
			text(label("RUNNING", "실행"), "sandbox/*/running"), text(label("ENDED", "종료"), "sandbox/*/exited"), text(label("NOT STARTED", "시작 안 됨"), "sandbox/*/created-only"),
			text(headAddress, "sandbox/*/ip"), yes(label("STATIC", "static"), "sandbox/*/static", label("yes", "예")),
		},
	}},
}

// byPod are the UIDs of pods in the order of their names.
func byPod(v *view) []string {
	uids := v.m.Names("sandbox/*/pod")
	slices.SortStableFunc(uids, func(a, b string) int {
		return strings.Compare(v.m.Value(at("sandbox/*/pod", a)), v.m.Value(at("sandbox/*/pod", b)))
	})
	return uids
}

// certificates is what openssl x509 tells of every file.
var certificates = part{
	name: "certificates", prefixes: []string{"certificate"}, monitors: []string{"certificates"},
	tables: []table{
		{
			title: label("Certificates on disk", "디스크의 인증서"), names: under("certificate/*/subject", "certificate/*/error"),
			columns: []column{
				itself(headFile), until("certificate/*/not-after"), text(label("SUBJECT", "대상"), "certificate/*/subject"), text(label("ISSUER", "발급자"), "certificate/*/issuer"),
				moment(headChanged, "certificate/*/modified"), text(label("KEY MODE", "키 권한"), "certificate/*/key-mode"), text(headError, "certificate/*/error"),
			},
		},
		{
			title: label("Certificates that servers here present", "이 머신의 서버가 제시하는 인증서"), names: under("certificate/served/*/subject"),
			columns: []column{
				itself(label("PORT", "포트")), until("certificate/served/*/not-after"), text(label("SUBJECT", "대상"), "certificate/served/*/subject"),
				text(label("ISSUER", "발급자"), "certificate/served/*/issuer"), text(label("NAMES", "이름"), "certificate/served/*/names"),
			},
		},
	},
}

// until is a column of when something ends, and in how many days.
func until(pattern string) column {
	return column{label("GOOD UNTIL", "만료"), func(v *view, name string) string {
		end := v.m.Time(at(pattern, name))
		if end.IsZero() {
			return ""
		}
		days := int(end.Sub(v.now).Hours() / 24)
		return end.In(v.location()).Format("2006-01-02") + " (" + finding.Textf("%d days", "%d일", days).In(v.o.Language) + ")"
	}}
}

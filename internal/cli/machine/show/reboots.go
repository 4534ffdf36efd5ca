package show

import (
	"fmt"
	"math"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

// reboots is what last reboot tells.
var reboots = part{
	name: "reboots", prefixes: []string{"boot"}, monitors: []string{"reboots"},
	tables: []table{
		{
			title: label("Starts of the machine", "머신 부팅"), names: func(v *view) []string {
				var out []string
				for _, name := range []string{present, previous} {
					if boots[name].there(v) {
						out = append(out, name)
					}
				}
				return out
			},
			columns: []column{
				{label("BOOT", "부팅"), func(v *view, name string) string { return boots[name].name.In(v.o.Language) }},
				{label("BEGAN", "시작"), func(v *view, name string) string { return v.o.Moment(v.m.Time(boots[name].began), v.now) }},
				{label("ENDED", "종료"), func(v *view, name string) string {
					if name == present {
						return ""
					}
					return v.o.Moment(v.m.Since("boot/previous/how"), v.now)
				}},
				{label("HOW", "방식"), func(v *view, name string) string {
					if name == present {
						return finding.Text{EN: "runs", KO: "실행 중"}.In(v.o.Language)
					}
					return v.m.Value("boot/previous/how")
				}},
				{label("LAST LINE", "마지막 줄"), func(v *view, name string) string {
					if name == present {
						return ""
					}
					return v.m.Value("boot/previous/last-line")
				}},
			},
		},
		{
			title: label("Within 24 hours", "최근 24시간"), names: once("boot/reboots-24h"),
			columns: []column{
				text(label("REBOOTS", "재부팅"), "boot/reboots-24h"), text(label("OF THEM UNPLANNED", "비정상 재부팅"), "boot/unclean-24h"), text(label("JOURNAL", "journal"), "boot/journal"),
			},
		},
		{
			title: label("What crashes left", "crash 기록"), names: under("boot/crash/*"),
			columns: []column{text(headFile, "boot/crash/*"), since(label("WRITTEN", "기록"), "boot/crash/*")},
		},
	},
}

const (
	present  = "present"
	previous = "previous"
)

// boots are the two that a machine tells of.
var boots = map[string]struct {
	name  finding.Text
	began snapshot.EvidenceKey
	there func(*view) bool
}{
	present:  {label("present", "현재"), "boot/started", func(v *view) bool { return v.m.Value("boot/started") != "" }},
	previous: {label("before", "이전"), "boot/previous/started", func(v *view) bool { return v.m.Value("boot/previous/how") != "" }},
}

// load is what weighs on the machine: pressure, limits, kills, and its clock.
var load = part{
	name: "load", prefixes: []string{"pressure", "limit", "oom", "clock"}, monitors: []string{"pressure", "limits", "oom", "clock"},
	tables: []table{
		{
			title: label("Pressure: share of time in which tasks waited", "압박: 작업이 기다린 시간의 비율"), names: under("pressure/*/some/*"),
			columns: []column{
				itself(label("FOR", "자원")),
				share(label("SOME 10 S", "일부 10초"), "pressure/*/some/avg10"), share(label("60 S", "60초"), "pressure/*/some/avg60"), share(label("5 MIN", "5분"), "pressure/*/some/avg300"),
				share(label("ALL 10 S", "전체 10초"), "pressure/*/full/avg10"), share(label("60 S", "60초"), "pressure/*/full/avg60"), share(label("5 MIN", "5분"), "pressure/*/full/avg300"),
			},
		},
		{
			title: label("Memory", "메모리"), names: once("limit/memory/total-bytes"),
			columns: []column{
				size(label("TOTAL", "전체"), "limit/memory/total-bytes"), size(label("AVAILABLE", "여유"), "limit/memory/available-bytes"),
				percent(label("USE", "사용률"), "limit/memory/available-bytes", "limit/memory/total-bytes", true),
				size(label("SWAP", "swap"), "limit/memory/swap-total-bytes"), size(label("SWAP FREE", "swap 여유"), "limit/memory/swap-free-bytes"),
			},
		},
		{
			title: label("Limits of the machine", "머신의 한도"), names: under("limit/*/max"),
			columns: []column{
				itself(headName), text(label("USED", "사용"), "limit/*/used"),
				{label("OF", "한도"), most},
				percent(label("USE", "사용률"), "limit/*/used", "limit/*/max", false),
				notes(label("NOTES", "비고"),
					nonzero(label("packets dropped", "버린 패킷"), "limit/*/dropped"), nonzero(label("not entered", "등록 실패"), "limit/*/insert-failed"),
					nonzero(label("zombies", "zombie"), "limit/*/zombies"), text(label("of", "부모"), "limit/*/zombies-of")),
			},
		},
		{
			title: label("Control groups", "cgroup"), names: under("limit/cgroup/*/memory-bytes", "limit/cgroup/*/pids"),
			columns: []column{
				itself(headName), size(label("MEMORY", "메모리"), "limit/cgroup/*/memory-bytes"), size(label("OF", "한도"), "limit/cgroup/*/memory-max-bytes"),
				text(label("THREADS", "스레드"), "limit/cgroup/*/pids"), text(label("OF", "한도"), "limit/cgroup/*/pids-max"), nonzero(label("REFUSED", "거부"), "limit/cgroup/*/pids-refused"),
			},
		},
		{
			title: label("Killed for want of memory", "메모리 부족으로 종료된 프로세스"), names: once("oom/kills"),
			columns: []column{text(label("SINCE START", "부팅 이후"), "oom/kills"), since(label("LAST", "마지막"), "oom/kills"), text(label("LAST HOUR", "최근 1시간"), "oom/recent")},
		},
		{
			title: label("Killed by control group", "cgroup별 종료"), names: under("oom/cgroup/*/kills"),
			columns: []column{
				itself(headName), text(label("KILLS", "종료"), "oom/cgroup/*/kills"), text(label("LAST HOUR", "최근 1시간"), "oom/cgroup/*/recent"), text(label("POD UID", "Pod UID"), "oom/cgroup/*/pod"),
			},
		},
		{
			title: label("Clock", "시계"), names: once("clock/synchronized"),
			columns: []column{
				text(label("KEPT", "동기화"), "clock/synchronized"), seconds(label("OFF BY", "오차"), "clock/offset-seconds"), seconds(label("AT MOST", "최대 오차"), "clock/max-error-seconds"),
				yes(label("CONTAINER", "컨테이너"), "clock/container", label("yes: the host keeps the clock", "예: 호스트가 시계를 맞춤")),
			},
		},
	},
}

// most is a limit; one of as many as can be counted is none.
func most(v *view, name string) string {
	if n, ok := v.m.Int(at("limit/*/max", name)); ok && n == math.MaxInt64 {
		return finding.Text{EN: "no limit", KO: "제한 없음"}.In(v.o.Language)
	}
	return v.m.Value(at("limit/*/max", name))
}

// share is a column of percentages.
func share(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string {
		f, ok := v.m.Float(at(pattern, name))
		if !ok {
			return ""
		}
		return fmt.Sprintf("%.1f%%", f)
	}}
}

// lostBothWays is a column of the parts of packets that did not come, and of those that did not arrive
// there.
func lostBothWays(head finding.Text, in, out string) column {
	return column{head, func(v *view, name string) string {
		received, come := v.m.Float(at(in, name))
		sent, gone := v.m.Float(at(out, name))
		switch {
		case come && gone:
			return percentOf(received, 1) + ", " + percentOf(sent, 1)
		case come:
			return percentOf(received, 1) + ", " + report.Unknown
		case gone:
			return report.Unknown + ", " + percentOf(sent, 1)
		default:
			return ""
		}
	}}
}

func percentOf(part, whole float64) string { return fmt.Sprintf("%.0f%%", part/whole*100) }

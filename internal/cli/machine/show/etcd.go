package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// etcd is what etcdctl member list, endpoint status and endpoint health tell.
var etcd = part{
	name: "etcd", prefixes: []string{"etcd"}, monitors: []string{"etcd"},
	tables: []table{
		{
			title: label("etcd on this machine", "이 머신의 etcd"), names: once("etcd/local/source"),
			columns: []column{
				text(headName, "etcd/local/name"), text(headAnswer, "etcd/local/answer"), since(headSince, "etcd/local/answer"),
				text(label("HEALTH", "health"), "etcd/local/health"), text(label("DATA", "데이터"), "etcd/local/data-dir"),
				text(label("ASKED AT", "질의 주소"), "etcd/local/client-url"), text(label("SET UP IN", "설정"), "etcd/local/path"),
				firstOf(headError, "etcd/local/error", "etcd/local/health-reason"),
			},
		},
		{
			title: label("etcd members", "etcd 멤버"), names: under("etcd/member/*/peer-urls", "etcd/member/*/answer", "etcd/member/*/name"),
			columns: []column{
				itself(label("ID", "ID")), text(headName, "etcd/member/*/name"), text(headAnswer, "etcd/member/*/answer"),
				{label("ROLE", "역할"), role},
				text(headVersion, "etcd/member/*/version"),
				size(headSize, "etcd/member/*/db-size"), size(label("IN USE", "사용"), "etcd/member/*/db-size-in-use"), size(label("QUOTA", "한도"), "etcd/member/*/db-quota"),
				text(label("TERM", "term"), "etcd/member/*/raft-term"), text(label("INDEX", "index"), "etcd/member/*/raft-index"), text(label("REVISION", "revision"), "etcd/member/*/revision"),
				seconds(headTook, "etcd/member/*/seconds"), text(label("QUORUM READ", "정족수 읽기"), "etcd/member/*/quorum-read"),
				{label("ALARMS", "경보"), alarms},
				text(label("PEER URL", "peer URL"), "etcd/member/*/peer-urls"),
				firstOf(headError, "etcd/member/*/error", "etcd/member/*/quorum-error"),
			},
		},
		{
			title: label("etcd here, measured", "이 머신의 etcd 측정값"), names: once("etcd/metrics/*"),
			columns: []column{
				{label("KNOWS A LEADER", "leader 인지"), knowsLeader},
				text(label("LEADER CHANGES", "leader 교체"), "etcd/metrics/leader-changes"),
				text(label("IN 15 MIN", "최근 15분"), "etcd/metrics/leader-changes-lately"),
				seconds(label("FSYNC P99", "fsync p99"), "etcd/metrics/fsync-p99"), seconds(label("COMMIT P99", "commit p99"), "etcd/metrics/commit-p99"),
				text(label("WRITES WAITING", "대기 중인 쓰기"), "etcd/metrics/proposals-pending"), text(label("REFUSED", "거부됨"), "etcd/metrics/proposals-failed-lately"),
				text(label("SLOW APPLIES", "느린 적용"), "etcd/metrics/slow-applies-lately"), text(label("LATE HEARTBEATS", "늦은 heartbeat"), "etcd/metrics/heartbeats-late-lately"),
			},
		},
	},
}

// role says which part a member has, by what it answers itself.
func role(v *view, name string) string {
	if v.m.True(at("etcd/member/*/learner", name)) {
		return "learner"
	}
	leader := v.m.Value(at("etcd/member/*/leader", name))
	switch leader {
	case "":
		return ""
	case name:
		return "leader"
	case "0":
		return finding.Text{EN: "no leader", KO: "leader 없음"}.In(v.o.Language)
	default:
		return "follower"
	}
}

func alarms(v *view, name string) string {
	var out []string
	for _, e := range v.m.Select(snapshot.KeyOf("etcd", "alarm", name) + "/*") {
		if e.Value == "true" {
			out = append(out, e.Key.Segments()[3])
		}
	}
	return strings.Join(out, ", ")
}

func knowsLeader(v *view, _ string) string {
	switch v.m.Value("etcd/metrics/has-leader") {
	case "1":
		return finding.Text{EN: "yes", KO: "예"}.In(v.o.Language)
	case "0":
		return finding.Text{EN: "NO", KO: "아니요"}.In(v.o.Language)
	default:
		return ""
	}
}

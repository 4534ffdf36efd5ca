package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// interfaces are what ifconfig -a, route -n, ip neigh and /etc/resolv.conf tell, and what nft list ruleset
// says of packets that do not arrive.
var interfaces = []table{
	{
		title: label("Interfaces", "인터페이스"), names: under("interface/*/type", "interface/*/state"),
		columns: []column{
			itself(headName), text(headType, "interface/*/type"),
			{headState, linkState},
			text(label("MTU", "MTU"), "interface/*/mtu"), text(headAddress, "interface/*/addresses"), text(label("MAC", "MAC"), "interface/*/mac"),
			text(label("MBIT/S", "Mbit/s"), "interface/*/speed"), text(label("DUPLEX", "duplex"), "interface/*/duplex"),
			text(label("PART OF", "소속"), "interface/*/master"),
			{label("MEMBERS", "구성원"), states("interface/*/bond-member")},
			nonzero(label("LOST LINK", "링크 끊김"), "interface/*/carrier-losses"), nonzero(label("IN 10 MIN", "최근 10분"), "interface/*/carrier-losses-recent"),
			notes(headError,
				nonzero(label("in", "수신"), "interface/*/rx-errors"), nonzero(label("out", "송신"), "interface/*/tx-errors"),
				nonzero(label("dropped in", "수신 폐기"), "interface/*/rx-dropped"), nonzero(label("dropped out", "송신 폐기"), "interface/*/tx-dropped")),
		},
	},
	{
		title: label("Links to pods", "Pod에 연결된 인터페이스"), names: once("interface/pod-links"),
		columns: []column{text(label("NUMBER", "개수"), "interface/pod-links"), nonzero(label("OTHERS, NOT LISTED", "그 밖에 표시하지 않은 것"), "interface/left-out")},
	},
	{
		title: label("Default routes", "기본 경로"), names: under("route/default/*/device"),
		columns: []column{
			itself(label("BY", "경유")), text(headDevice, "route/default/*/device"), text(label("METRIC", "metric"), "route/default/*/metric"),
			text(label("NEXT HOP", "next hop"), "route/default/*/neighbour"), text(label("MAC", "MAC"), "route/default/*/mac"),
			yes(label("DEAD", "사용 불가"), "route/default/*/dead", label("yes", "예")),
		},
	},
	named(settings(label("Routes", "경로"), "route/prefix/*"), label("TO", "목적지"), label("ROUTE", "경로")),
	{
		title: label("Machines next to this one", "같은 네트워크의 이웃"), names: under("route/neighbour/*/state"),
		columns: []column{itself(headAddress), text(label("MAC", "MAC"), "route/neighbour/*/mac"), text(headState, "route/neighbour/*/state")},
	},
	{
		title: label("Files that name the name servers", "name server를 지정한 파일"), names: under("resolver/file/*/servers", "resolver/file/*/error"),
		columns: []column{
			itself(headFile), text(label("SERVERS", "서버"), "resolver/file/*/servers"), text(label("SEARCH", "search"), "resolver/file/*/search"),
			text(label("OPTIONS", "options"), "resolver/file/*/options"), text(label("USED BY", "사용"), "resolver/file/*/used-by"), text(headError, "resolver/file/*/error"),
		},
	},
	{
		title: label("Name servers of the machine", "머신의 name server"), names: under("resolver/server/*/outcome"),
		columns: []column{
			itself(headAddress), text(headAnswer, "resolver/server/*/outcome"), text(label("CODE", "코드"), "resolver/server/*/code"),
			text(label("MS", "ms"), "resolver/server/*/milliseconds"), text(headError, "resolver/server/*/error"),
		},
	},
	settings(label("Kernel settings", "kernel 설정"), "sysctl/*"),
	{
		title: label("Packet filter", "패킷 필터"), names: once("filter/readable"),
		columns: []column{
			yes(label("READABLE", "읽기 가능"), "filter/readable", label("yes", "예")), text(label("OLDER TABLES, NOT READ", "읽지 않은 이전 방식 테이블"), "filter/legacy-tables"),
		},
	},
	{
		title: label("Chains that drop what no rule lets pass", "허용 규칙이 없는 패킷을 버리는 chain"), names: rows("filter/chain/*/*/policy"),
		columns: []column{
			nameOf(label("TABLE", "테이블"), 0), nameOf(label("CHAIN", "chain"), 1), leaf(label("HOOK", "hook"), "filter/chain", "hook"), leaf(label("POLICY", "정책"), "filter/chain", "policy"),
		},
	},
	{
		title: label("Rules that drop or reject", "패킷을 버리거나 거부하는 규칙"), names: rows("filter/rule/*/*/*/text"),
		columns: []column{
			nameOf(label("TABLE", "테이블"), 0), nameOf(label("CHAIN", "chain"), 1), leaf(label("HOOKS", "hook"), "filter/rule", "hooks"),
			leaf(label("AFTER", "먼저 적용"), "filter/rule", "after"), leaf(label("RULE", "규칙"), "filter/rule", "text"),
		},
	},
}

// linkState is whether an interface is switched on and has a link.
func linkState(v *view, name string) string {
	state := v.m.Value(at("interface/*/state", name))
	if v.m.Value(at("interface/*/enabled", name)) == "false" {
		return finding.Text{EN: "switched off", KO: "꺼짐"}.In(v.o.Language)
	}
	if v.m.Value(at("interface/*/carrier", name)) == "false" {
		return state + finding.Text{EN: ", no link", KO: ", 링크 없음"}.In(v.o.Language)
	}
	return state
}

// named gives the columns of a table other headings.
func named(t table, heads ...finding.Text) table {
	for i, h := range heads {
		t.columns[i].head = h
	}
	return t
}

// rows names what stands for all "*" of a pattern that ends with a value's name.
func rows(pattern snapshot.EvidenceKey) func(*view) []string {
	fixed := strings.Index(string(pattern), "*")
	skip := strings.Count(string(pattern[:fixed]), "/")
	return func(v *view) []string {
		var out []string
		for _, e := range v.m.Select(pattern) {
			s := e.Key.Segments()
			out = append(out, strings.Join(s[skip:len(s)-1], separator))
		}
		return out
	}
}

// nameOf is a column of one of the names of a row of rows, counted from 0.
func nameOf(head finding.Text, n int) column {
	return column{head, func(_ *view, row string) string { return strings.Split(row, separator)[n] }}
}

// leaf is a column of a value of such a row.
func leaf(head finding.Text, prefix, value string) column {
	return column{head, func(v *view, row string) string {
		segments := append(strings.Split(prefix, "/"), strings.Split(row, separator)...)
		return v.m.Value(snapshot.KeyOf(append(segments, value)...))
	}}
}

package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// logs is what the logs say that stands now, and which logs were read.
var logs = part{
	name: "logs", prefixes: []string{"log"}, monitors: []string{"logs"},
	tables: []table{
		{
			title: label("What the logs say, and stands", "로그에 나타나 지금도 계속되는 것"), names: under("log/*/count"),
			columns: []column{
				itself(headName), text(label("LINES", "줄"), "log/*/count"), moment(label("FIRST", "처음"), "log/*/first"), moment(label("LAST", "마지막"), "log/*/last"),
				text(label("ABOUT", "대상"), "log/*/subject"), text(label("LOG", "로그"), "log/*/source"), text(label("NEWEST LINE", "마지막 줄"), "log/*/line"),
			},
		},
		{
			title: label("Errors of components within 10 minutes", "최근 10분간 구성 요소의 오류"), names: places,
			columns: []column{
				{headName, func(_ *view, row string) string { writer, _, _ := strings.Cut(row, separator); return writer }},
				{label("WRITTEN AT", "코드 위치"), func(_ *view, row string) string { _, site, _ := strings.Cut(row, separator); return site }},
				{label("LINES", "줄"), place("count")},
				{label("LAST", "마지막"), func(v *view, row string) string {
					writer, site, _ := strings.Cut(row, separator)
					return v.o.Moment(v.m.Time(snapshot.KeyOf("log", "klog", writer, site, "last")), v.now)
				}},
				{label("NEWEST LINE", "마지막 줄"), place("line")},
			},
		},
		{
			title: label("Conditions of node-problem-detector's own files", "node-problem-detector 설정의 condition"), names: under("log/npd/*/state"),
			columns: []column{
				itself(headName), text(headState, "log/npd/*/state"), since(headSince, "log/npd/*/state"), text(label("REASON", "사유"), "log/npd/*/reason"), text(label("MESSAGE", "메시지"), "log/npd/*/message"),
			},
		},
		{
			title: label("Logs that were read", "읽은 로그"), names: under("log/source/*/oldest", "log/source/*/errors-per-10m", "log/source/*/lines-lost"),
			columns: []column{
				itself(label("LOG", "로그")), moment(label("OLDEST LINE", "가장 오래된 줄"), "log/source/*/oldest"),
				text(label("ERRORS IN 10 MIN", "최근 10분 오류"), "log/source/*/errors-per-10m"), text(label("LINES LOST", "놓친 줄"), "log/source/*/lines-lost"),
			},
		},
	},
}

// places are where components wrote errors: writer and place in its code.
func places(v *view) []string {
	var out []string
	for _, e := range v.m.Select("log/klog/*/*/count") {
		s := e.Key.Segments()
		out = append(out, s[2]+separator+s[3])
	}
	return out
}

func place(what string) func(v *view, row string) string {
	return func(v *view, row string) string {
		writer, site, _ := strings.Cut(row, separator)
		return v.m.Value(snapshot.KeyOf("log", "klog", writer, site, what))
	}
}

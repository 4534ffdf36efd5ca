package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// storage is what iscsiadm -m session, iscsiadm -m node, multipath -l and nfsstat -m tell.
var storage = part{
	name: "storage", prefixes: []string{"iscsi", "multipath", "nfs"}, monitors: []string{"iscsi", "multipath", "nfs"},
	tables: []table{
		{
			title: label("iSCSI sessions", "iSCSI 세션"), names: under("iscsi/session/*/target", "iscsi/session/*/state"),
			columns: []column{
				itself(label("SESSION", "세션")), text(headState, "iscsi/session/*/state"), since(headSince, "iscsi/session/*/state"),
				text(label("CONNECTION", "연결"), "iscsi/session/*/connection"), text(label("PORTAL", "포털"), "iscsi/session/*/portal"), text(label("TARGET", "대상"), "iscsi/session/*/target"),
				text(label("WAITS (S)", "대기(초)"), "iscsi/session/*/recovery-seconds"),
				{label("DISKS", "디스크"), states("iscsi/session/*/device")},
			},
		},
		{
			title: label("iSCSI records", "iSCSI 레코드"), names: records,
			columns: []column{
				{label("TARGET", "대상"), func(_ *view, row string) string { target, _, _ := strings.Cut(row, separator); return target }},
				{label("PORTAL", "포털"), func(_ *view, row string) string { _, portal, _ := strings.Cut(row, separator); return portal }},
				{label("AT START", "시작 시"), func(v *view, row string) string {
					target, portal, _ := strings.Cut(row, separator)
					return v.m.Value(snapshot.KeyOf("iscsi", "record", target, portal))
				}},
			},
		},
		{
			title: label("iSCSI initiator", "iSCSI initiator"), names: once("iscsi/initiator-name"), columns: []column{text(headName, "iscsi/initiator-name")},
		},
		{
			title: label("Multipath devices", "multipath 장치"), names: under("multipath/map/*/paths", "multipath/map/*/uuid"),
			columns: []column{
				itself(headName), text(headDevice, "multipath/map/*/device"), text(label("USABLE", "사용 가능"), "multipath/map/*/usable"), text(label("OF", "경로"), "multipath/map/*/paths"),
				text(label("HAD", "최대"), "multipath/map/*/paths-seen"), since(headSince, "multipath/map/*/usable"), text(label("QUEUES", "대기열"), "multipath/map/*/queues"),
				text(label("UNIT", "WWID"), "multipath/map/*/uuid"),
				{label("PATHS", "경로 상태"), states("multipath/map/*/path")},
			},
		},
		{
			title: label("multipathd", "multipathd"), names: once("multipath/daemon"), columns: []column{text(headAnswer, "multipath/daemon")},
		},
		{
			title: label("NFS mounts", "NFS mount"), names: under("nfs/mount/*/server"),
			columns: []column{
				itself(label("MOUNTED AT", "mount 위치")), text(label("SERVER", "서버"), "nfs/mount/*/server"), text(label("EXPORT", "export"), "nfs/mount/*/export"),
				yes(label("SOFT", "soft"), "nfs/mount/*/soft", label("yes", "예")),
			},
		},
		{
			title: label("NFS servers", "NFS 서버"), names: under("nfs/server/*/requests", "nfs/server/*/stuck", "nfs/server/*/error"),
			columns: []column{
				itself(label("SERVER", "서버")), yes(label("STUCK", "응답 없음"), "nfs/server/*/stuck", label("DOES NOT ANSWER", "응답하지 않음")), since(headSince, "nfs/server/*/stuck"),
				text(label("REQUESTS", "요청"), "nfs/server/*/requests"), text(label("REPEATED", "재전송"), "nfs/server/*/timeouts"), text(headError, "nfs/server/*/error"),
			},
		},
	},
}

// states joins the states of the parts of a thing: "sda running, sdb blocked".
func states(below string) func(*view, string) string {
	return func(v *view, name string) string {
		var out []string
		for _, e := range v.m.Select(at(below, name) + "/*") {
			segments := e.Key.Segments()
			out = append(out, segments[len(segments)-1]+" "+e.Value)
		}
		return strings.Join(out, ", ")
	}
}

// records are the targets, each with a portal, that the machine knows.
func records(v *view) []string {
	var out []string
	for _, e := range v.m.Select("iscsi/record/*/*") {
		s := e.Key.Segments()
		out = append(out, s[2]+separator+s[3])
	}
	return out
}

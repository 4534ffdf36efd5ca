package show

import (
	"time"

	"github.com/maek-dev/maek/internal/finding"
)

// overlay is the overlay network on this machine: devices, and where each of them sends what.
var overlay = part{
	name: "overlay", prefixes: []string{"overlay", "flannel", "cni"}, monitors: []string{"overlay", "flannel", "cni"},
	tables: []table{
		{
			title: label("Overlay devices", "overlay 장치"), names: under("overlay/device/*/type"),
			columns: []column{
				itself(headDevice), text(headType, "overlay/device/*/type"), upDown("overlay/device/*/up"), text(label("MTU", "MTU"), "overlay/device/*/mtu"),
				text(headAddress, "overlay/device/*/addresses"), text(label("MAC", "MAC"), "overlay/device/*/mac"),
				text(label("VNI", "VNI"), "overlay/device/*/vni"), text(label("PORT", "포트"), "overlay/device/*/port"),
				text(label("FROM", "보내는 주소"), "overlay/device/*/local"), text(label("THROUGH", "하부 장치"), "overlay/device/*/underlay"),
				text(label("ITS MTU", "하부 MTU"), "overlay/device/*/underlay-mtu"),
				notes(label("ERRORS", "오류"),
					nonzero(label("received", "수신"), "overlay/device/*/rx-errors"), nonzero(label("sent", "송신"), "overlay/device/*/tx-errors"),
					nonzero(label("dropped in", "수신 폐기"), "overlay/device/*/rx-dropped"), nonzero(label("dropped out", "송신 폐기"), "overlay/device/*/tx-dropped")),
			},
		},
		{
			title: label("Routes to pods", "Pod 경로"), names: under("overlay/route/*"),
			columns: []column{itself(label("TO", "대상")), text(label("ROUTE", "경로"), "overlay/route/*")},
		},
		pairs(label("Neighbours on the overlay", "overlay 이웃"), headAddress, label("HARDWARE ADDRESS", "하드웨어 주소"), "overlay/neighbour"),
		pairs(label("Where the VXLAN sends to", "VXLAN 전달 대상"), label("HARDWARE ADDRESS", "하드웨어 주소"), label("MACHINE", "머신"), "overlay/forwarding"),
		{
			title: label("flanneld", "flanneld"), names: once("flannel/running", "flannel/store"),
			columns: []column{
				yes(label("PROCESS", "프로세스"), "flannel/running", label("runs", "실행 중")), text(label("STORE", "저장소"), "flannel/store"),
				text(label("BACKEND", "backend"), "flannel/config/backend"), text(label("NETWORK", "네트워크"), "flannel/config/network"),
				text(label("SUBNET", "subnet"), "flannel/subnet-file/subnet"), text(label("MTU", "MTU"), "flannel/subnet-file/mtu"),
				since(label("SUBNET WRITTEN", "subnet 기록"), "flannel/subnet-file/subnet"), text(label("SETTINGS OF", "설정 출처"), "flannel/settings-source"),
				text(label("CONFIGURED IN", "구성 위치"), "flannel/config/source"),
				firstOf(headError, "flannel/etcd/failure", "flannel/etcd/config-broken"),
			},
		},
		settings(label("Settings of flanneld", "flanneld 설정"), "flannel/setting/*"),
		{
			title: label("Leases in flannel's store", "flannel 저장소의 lease"), names: under("flannel/lease/*/public-ip", "flannel/lease/*/broken"),
			columns: []column{
				itself(label("SUBNET", "subnet")), text(label("MACHINE", "머신"), "flannel/lease/*/public-ip"), text(label("BACKEND", "backend"), "flannel/lease/*/backend"),
				text(label("MAC", "MAC"), "flannel/lease/*/mac"), text(label("VNI", "VNI"), "flannel/lease/*/vni"),
				{label("ENDS", "만료"), leaseEnd},
				text(label("RESERVED", "예약"), "flannel/lease/*/reserved"), text(headError, "flannel/lease/*/broken"),
			},
		},
		{
			title: label("Network plugins", "네트워크 플러그인"), names: under("cni/configuration/*/name", "cni/configuration/*/broken"),
			columns: []column{
				itself(headFile), text(headName, "cni/configuration/*/name"), text(label("PLUGINS", "플러그인"), "cni/configuration/*/plugins"),
				text(label("BRIDGE", "bridge"), "cni/configuration/*/bridge"), text(label("MTU", "MTU"), "cni/configuration/*/mtu"),
				text(label("RANGES", "범위"), "cni/configuration/*/ranges"), since(headChanged, "cni/configuration/*/name"), text(headError, "cni/configuration/*/broken"),
			},
		},
		{
			title: label("Addresses given to pods", "Pod에 준 주소"), names: under("cni/network/*/given"),
			columns: []column{
				itself(label("NETWORK", "네트워크")), text(label("GIVEN", "사용 중"), "cni/network/*/given"), text(label("OF", "전체"), "cni/network/*/size"),
				text(label("LEAKED", "누수"), "cni/network/*/leaked"), since(headSince, "cni/network/*/leaked"),
			},
		},
	},
}

// leaseEnd is when a lease ends unless it is renewed.
func leaseEnd(v *view, subnet string) string {
	left, ok := v.m.Float(at("flannel/lease/*/ttl", subnet))
	if !ok {
		return ""
	}
	return v.o.Moment(v.now.Add(time.Duration(left*float64(time.Second))), v.now)
}

// upDown is a column of whether something is switched on.
func upDown(pattern string) column {
	return column{headState, func(v *view, name string) string {
		switch v.m.Value(at(pattern, name)) {
		case "true":
			return "up"
		case "false":
			return "DOWN"
		default:
			return ""
		}
	}}
}

// nonzero is a column of counters that are worth a word once they count.
func nonzero(head finding.Text, pattern string) column {
	return column{head, func(v *view, name string) string {
		if n, ok := v.m.Int(at(pattern, name)); !ok || n == 0 {
			return ""
		}
		return v.m.Value(at(pattern, name))
	}}
}

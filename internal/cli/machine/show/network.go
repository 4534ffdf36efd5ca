package show

// network is what ip address, ip route and /etc/resolv.conf tell, and how other machines are reached.
var network = part{
	name: "network", prefixes: []string{"interface", "route", "resolver", "sysctl", "filter", "mesh", "dns", "service"},
	monitors: []string{"interfaces", "routes", "resolver", "sysctls", "packetfilter", "mesh"},
	tables: append(interfaces, []table{
		{
			title: label("Other machines, as this one reaches them", "이 머신에서 본 다른 머신"), names: under("mesh/peer/*/address", "mesh/peer/*/expected"),
			columns: []column{
				itself(headNode), text(headAddress, "mesh/peer/*/address"),
				text(label("MACHINES", "머신 간"), "mesh/peer/*/host-tcp"), seconds(label("RTT", "왕복"), "mesh/peer/*/host-rtt"),
				lostBothWays(label("LOST IN, OUT", "손실 수신, 송신"), "mesh/peer/*/host-in-loss", "mesh/peer/*/host-out-loss"),
				text(label("PODS", "Pod 간"), "mesh/peer/*/pod-tcp"), seconds(label("RTT", "왕복"), "mesh/peer/*/pod-rtt"),
				lostBothWays(label("LOST IN, OUT", "손실 수신, 송신"), "mesh/peer/*/pod-in-loss", "mesh/peer/*/pod-out-loss"),
				lostBothWays(label("LARGE LOST IN, OUT", "큰 패킷 손실 수신, 송신"), "mesh/peer/*/pod-big-in-loss", "mesh/peer/*/pod-big-out-loss"),
				seconds(label("CLOCK AHEAD", "시계 차이"), "mesh/peer/*/clock-offset"),
				firstOf(headError, "mesh/peer/*/host-tcp-error", "mesh/peer/*/pod-tcp-error"),
			},
		},
		{
			title: label("Cluster DNS from here", "이 머신에서 본 클러스터 DNS"), names: under("dns/*/answer"),
			columns: []column{
				itself(headAddress), text(label("IS", "구분"), "dns/*/role"), text(headNode, "dns/*/node"), text(headAnswer, "dns/*/answer"), since(headSince, "dns/*/answer"),
				seconds(headTook, "dns/*/latency"), text(label("OVER TCP", "TCP"), "dns/*/tcp-answer"), firstOf(headError, "dns/*/error", "dns/*/tcp-error"),
			},
		},
		{
			title: label("API servers from here", "이 머신에서 본 API server"), names: under("service/kubernetes/*/answer"),
			columns: []column{
				itself(headAddress), text(label("IS", "구분"), "service/kubernetes/*/role"), text(headNode, "service/kubernetes/*/node"),
				text(headAnswer, "service/kubernetes/*/answer"), since(headSince, "service/kubernetes/*/answer"), seconds(headTook, "service/kubernetes/*/latency"),
				text(headError, "service/kubernetes/*/error"),
			},
		},
	}...),
}

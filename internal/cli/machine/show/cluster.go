package show

// cluster is what the agent last heard of the API server.
var cluster = part{
	name: "cluster", prefixes: []string{"cluster"}, monitors: []string{"cluster"},
	tables: []table{
		{
			title: label("The API server, as the agent hears it", "agent가 본 API server"), names: once("cluster/api"),
			columns: []column{
				text(headState, "cluster/api"), since(headSince, "cluster/api"), moment(label("LAST HEARD", "마지막 응답"), "cluster/read-at"), text(headError, "cluster/api-error"),
			},
		},
		{
			title: label("Nodes, as last heard", "마지막으로 들은 노드"), names: under("cluster/node/*/ready"),
			columns: []column{
				itself(headNode), text(label("READY", "Ready"), "cluster/node/*/ready"), since(headSince, "cluster/node/*/ready"),
				yes(label("ROLE", "역할"), "cluster/node/*/control-plane", label("control plane", "control plane")), text(label("AGENT", "agent"), "cluster/node/*/agent"),
				text(headAddress, "cluster/node/*/internal-ip"), text(label("POD CIDR", "Pod CIDR"), "cluster/node/*/pod-cidr"), text(label("FLANNEL SENDS TO", "flannel 주소"), "cluster/node/*/flannel-public-ip"),
				notes(label("NOTES", "비고"),
					yes(label("", ""), "cluster/node/*/unschedulable", label("cordoned", "cordon됨")), yes(label("", ""), "cluster/node/*/deleting", label("being deleted", "삭제 중"))),
			},
		},
		{
			title: label("Services, as last heard", "마지막으로 들은 Service"), names: under("cluster/service/*/address"),
			columns: []column{
				itself(headName), text(headAddress, "cluster/service/*/address"), text(label("PORTS", "포트"), "cluster/service/*/ports"), text(label("ENDPOINTS", "endpoint"), "cluster/service/*/endpoints"),
			},
		},
	},
}

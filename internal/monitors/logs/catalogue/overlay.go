package catalogue

import "time"

// overlayPatterns are about flanneld and kube-proxy: pkg/subnet, pkg/backend/vxlan in flannel;
// pkg/proxy in Kubernetes.
func overlayPatterns() []Pattern {
	flannel := []Class{Flannel}
	return []Pattern{
		{
			Name: "flannel-lease-revoked", Doc: "flannel's lease of its subnet was taken away, so that others may get it.",
			Classes: flannel, Literals: []string{"ease has been revoked", "ease was revoked"}, TTL: time.Hour, Cleared: `Lease renewed, new expiration|Waiting for \S+ to renew lease`,
			Expr:   `[Ll]ease (?:has been|was) revoked`,
			Fits:   []string{"E1121 10:00:00.000000    4711 main.go:545] Lease has been revoked. Shutting down daemon."},
			Misses: []string{"I1121 10:00:00.000000    4711 main.go:530] Lease renewed, new expiration: 2026-11-22 10:00:00.1 +0000 UTC"},
		},
		{
			Name: "flannel-lease-failing", Doc: "flannel cannot get or renew its lease.",
			Classes: flannel, Literals: []string{"renewing lease", "renew lease", "cquire lease", "create subnet lease"}, TTL: 2 * time.Hour, Cleared: `Lease renewed, new expiration|Running backend\.`,
			Expr:   `[Ee]rror renewing lease|[Ff]ailed to (?:acquire|renew|create subnet) lease|Failed to create SubnetManager`,
			Fits:   []string{"E1121 10:00:00.000000    4711 main.go:535] Error renewing lease (trying again in 1 min): context deadline exceeded", `E1121 10:00:00.000000    4711 registry.go:80] failed to acquire lease: node "w1" pod cidr not assigned`},
			Misses: []string{"I1121 10:00:00.000000    4711 main.go:520] Waiting for 22h59m59.9s to renew lease"},
		},
		{
			Name: "flannel-config-missing", Doc: "flannel cannot read the network's settings from its store.",
			Classes: flannel, Literals: []string{"fetch network config", "pod cidr not assigned", "retrieve network config"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 5 * time.Minute, Cleared: `Found network config|Wrote subnet file`,
			Expr:   `(?:[Cc]ouldn't fetch|[Ff]ailed to retrieve) network config|node "([^"]+)" pod cidr not assigned`,
			Fits:   []string{"E1121 10:00:00.000000    4711 main.go:280] Couldn't fetch network config: client: etcd cluster is unavailable or misconfigured", "timed out: failed to retrieve network config: 100: Key not found (/coreos.com) [4]"},
			Misses: []string{"I1121 10:00:00.000000    4711 main.go:276] Found network config - Backend type: vxlan"},
		},
		{
			Name: "flannel-watch-failing", Doc: "flannel does not hear of other nodes' subnets.",
			Classes: flannel, Literals: []string{"atch subnets", "ubnet watch", "atch of subnet"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `[Ww]atch subnets: |[Ss]ubnet watch failed|could not watch leases`,
			Fits:   []string{"E1121 10:00:00.000000    4711 watch.go:171] Subnet watch failed: client: etcd cluster is unavailable", "E1121 10:00:00.000000    4711 watch.go:43] Watch subnets: context deadline exceeded"},
			Misses: []string{"I1121 10:00:00.000000    4711 vxlan_network.go:65] watching for new subnet leases"},
		},
		{
			Name: "flannel-entry-failed", Doc: "flannel cannot write an entry that leads to another node.",
			Classes: flannel, Literals: []string{"AddFDB", "AddARP", "vxlanRoute", "add route", "Error adding route", "ailed to add"}, TTL: 10 * time.Minute,
			Expr:   `Add(?:V6)?(?:FDB|ARP) failed|[Ff]ailed to add vxlan(?:V6)?Route \(?([^ ):]+)|Error adding route to (\S+)`,
			Fits:   []string{"E1121 10:00:00.000000    4711 vxlan_network.go:150] AddFDB failed:  operation not permitted", "E1121 10:00:00.000000    4711 vxlan_network.go:170] failed to add vxlanRoute (10.244.1.0/24 -> 10.244.1.0): network is unreachable", "E1121 10:00:00.000000    4711 route_network.go:110] Error adding route to 10.244.2.0/24: network is unreachable"},
			Misses: []string{"I1121 10:00:00.000000    4711 route_network.go:92] Subnet added: 10.244.2.0/24 via 10.99.0.22"},
		},
		{
			Name: "kube-proxy-sync-failed", Doc: "kube-proxy cannot write its rules, so that Services keep their old backends.",
			Classes: []Class{KubeProxy}, Literals: []string{"ailed to execute iptables", "ailed to ensure", "sync failed", "Error syncing", "nftables transaction"}, AtLeast: 2, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr:   `[Ff]ailed to execute iptables-restore|[Ff]ailed to ensure (?:that )?\S+ (?:chain|rule)|nftables sync failed|[Ii]ptables sync failed|nftables transaction failed`,
			Fits:   []string{`E1121 10:00:00.000000       1 proxier.go:1564] "Failed to execute iptables-restore" err="exit status 4: Another app is currently holding the xtables lock"`, `E1121 10:00:00.000000       1 proxier.go:1900] "nftables sync failed" err="exit status 1"`},
			Misses: []string{`I1121 10:00:00.000000       1 proxier.go:820] "SyncProxyRules complete" elapsed="31ms"`},
		},
		{
			Name: "kube-proxy-watch-failing", Doc: "kube-proxy cannot read Services or EndpointSlices.",
			Classes: []Class{KubeProxy}, Literals: []string{"ailed to watch", "ailed to list"}, AtLeast: 5, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr:   `"?Failed to (?:watch|list)"?.* \*v1\.(\w+)`,
			Fits:   []string{`E1121 10:00:00.000000       1 reflector.go:205] "Failed to watch" err="failed to list *v1.EndpointSlice: Get \"https://10.99.0.1:6443/apis/discovery.k8s.io/v1/endpointslices\": dial tcp 10.99.0.1:6443: connect: connection refused" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.EndpointSlice"`},
			Misses: []string{`I1121 10:00:00.000000       1 shared_informer.go:357] "Caches are synced" controller="endpoint slice config"`},
		},
	}
}

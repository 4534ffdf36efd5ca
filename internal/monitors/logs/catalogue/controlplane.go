package catalogue

import "time"

// controlPlanePatterns are about etcd (server/etcdserver, server/storage/wal) and the control plane of
// Kubernetes. etcd writes JSON with a "msg".
func controlPlanePatterns() []Pattern {
	etcd := []Class{Etcd}
	return []Pattern{
		{
			Name: "etcd-apply-slow", Doc: "etcd takes long to answer requests.",
			Classes: etcd, Literals: []string{"apply request took too long", "took too long ("}, AtLeast: 20, Within: 5 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `apply request took too long|read-only range request .* took too long`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"txn/util.go:93","msg":"apply request took too long","took":"512.1ms","expected-duration":"100ms"}`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"traceutil/trace.go:171","msg":"trace[1] transaction"}`},
		},
		{
			Name: "etcd-disk-slow", Doc: "etcd's disk takes more than a second to write its log down.",
			Classes: etcd, Literals: []string{"slow fdatasync", "sync duration of"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			Expr:   `slow fdatasync|sync duration of \S+, expected less than`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"wal/wal.go:805","msg":"slow fdatasync","took":"1.9s","expected-duration":"1s"}`, `etcd: wal: sync duration of 1.9s, expected less than 1s`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"wal/wal.go:785","msg":"created a new WAL segment"}`},
		},
		{
			Name: "etcd-heartbeat-late", Doc: "etcd's leader could not send its heartbeats in time: disk or CPU is overloaded.",
			Classes: etcd, Literals: []string{"failed to send out heartbeat on time"}, AtLeast: 5, Within: 5 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `leader failed to send out heartbeat on time`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"etcdserver/raft.go:416","msg":"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk","to":"91bc3c398fb3c146"}`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"etcdserver/server.go:1","msg":"starting etcd server"}`},
		},
		{
			Name: "etcd-clock-difference", Doc: "The clocks of etcd's members differ; the subject is the other member.",
			Classes: etcd, Literals: []string{"clock difference", "high clock drift"}, TTL: 10 * time.Minute,
			Expr:   `prober found high clock drift".*"remote-peer-id":"([0-9a-f]+)|clock difference against peer (\w+) is too high`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"rafthttp/probing_status.go:82","msg":"prober found high clock drift","round-tripper-name":"ROUND_TRIPPER_SNAPSHOT","remote-peer-id":"91bc3c398fb3c146","clock-drift":"4.1s"}`, `rafthttp: the clock difference against peer 91bc3c398fb3c146 is too high [4.1s > 1s]`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"rafthttp/peer.go:133","msg":"starting remote peer"}`},
		},
		{
			Name: "etcd-no-space", Doc: "etcd's database is as large as it may be, so that nothing can be written.",
			Classes: []Class{Etcd, APIServer}, Literals: []string{"NOSPACE", "database space exceeded"}, TTL: 10 * time.Minute,
			Expr:   `(?:alarm|ALARM|alarm-type).*NOSPACE|mvcc: database space exceeded`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"etcdserver/apply.go:1","msg":"alarm raised","alarm":"NOSPACE","from":"8211f1d0f64f3269"}`, `E1121 10:00:00.000000       1 status.go:71] "Unhandled Error" err="apiserver received an error that is not an metav1.Status: rpctypes.EtcdError{code:0x8, desc:\"etcdserver: mvcc: database space exceeded\"}"`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"mvcc/kvstore_compaction.go:69","msg":"finished scheduled compaction"}`},
		},
		{
			Name: "etcd-leader-lost", Doc: "etcd's members chose another leader again and again.",
			Classes: etcd, Literals: []string{"lost leader", "changed leader from"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			Expr:   `raft\.node: \w+ (?:lost leader|changed leader from)`,
			Fits:   []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"raft.node: 8211f1d0f64f3269 lost leader 91bc3c398fb3c146 at term 3"}`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"raft.node: 8211f1d0f64f3269 elected leader 8211f1d0f64f3269 at term 2"}`},
		},
		{
			Name: "etcd-peer-unreachable", Doc: "etcd cannot reach another member; the subject is the member.",
			Classes: etcd, Literals: []string{"prober detected unhealthy status", "lost the TCP streaming connection"}, AtLeast: 3, Within: 3 * time.Minute, TTL: 2 * time.Minute,
			Expr:   `prober detected unhealthy status".*"remote-peer-id":"([0-9a-f]+)|lost the TCP streaming connection with peer (\w+)`,
			Fits:   []string{`{"level":"warn","ts":"2026-11-21T10:00:00.000Z","caller":"rafthttp/probing_status.go:68","msg":"prober detected unhealthy status","round-tripper-name":"ROUND_TRIPPER_RAFT_MESSAGE","remote-peer-id":"91bc3c398fb3c146","rtt":"0s","error":"dial tcp 10.99.0.12:2380: connect: connection refused"}`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"rafthttp/peer_status.go:53","msg":"peer became active","peer-id":"91bc3c398fb3c146"}`},
		},
		{
			Name: "etcd-inconsistent", Doc: "The data of etcd's members differ.",
			Classes: etcd, Literals: []string{"data inconsistency", "CORRUPT", "data corruption"}, TTL: 24 * time.Hour,
			Expr:   `found data inconsistency with peers|alarm.*CORRUPT|data corruption detected`,
			Fits:   []string{`{"level":"fatal","ts":"2026-11-21T10:00:00.000Z","caller":"embed/etcd.go:1","msg":"etcdserver: 8211f1d0f64f3269 found data inconsistency with peers"}`},
			Misses: []string{`{"level":"info","ts":"2026-11-21T10:00:00.000Z","caller":"etcdserver/corrupt.go:96","msg":"initial corruption checking passed; no corruption"}`},
		},
		{
			Name: "apiserver-etcd-unreachable", Doc: "The API server cannot reach etcd; the subject is the address.",
			Classes: []Class{APIServer}, Literals: []string{"addrConn.createTransport failed to connect"}, AtLeast: 5, Within: 2 * time.Minute, TTL: 2 * time.Minute,
			Expr: `addrConn\.createTransport failed to connect to \{\s*\\?"?Addr\\?"?: \\?"([^"\\]+)`,
			// At its start the API server gives up connections that it has begun twice.
			Not:  `operation was canceled|context canceled`,
			Fits: []string{`W1121 10:00:00.000000       1 logging.go:55] [core] [Channel #1 SubChannel #2]grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", ServerName: "127.0.0.1:2379", BalancerAttributes: {}}. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused"`},
			Misses: []string{
				`W1121 10:00:00.000000       1 genericapiserver.go:810] Skipping API batch/v2alpha1 because it has no resources.`,
				`W1121 20:27:35.257264       1 logging.go:55] [core] [Channel #279 SubChannel #280] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", ServerName: "127.0.0.1:2379", }. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: operation was canceled"`,
			},
		},
		{
			Name: "apiserver-webhook-failing", Doc: "The API server cannot call an admission webhook; the subject is the webhook.",
			Classes: []Class{APIServer}, Literals: []string{"ailed calling webhook"}, AtLeast: 3, Within: 5 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `[Ff]ailed calling webhook,? (?:failing (?:open|closed) )?\\?"?([^\\": ]+)`,
			Fits:   []string{`W1121 10:00:00.000000       1 dispatcher.go:217] Failed calling webhook, failing closed check.example.com: failed calling webhook "check.example.com": failed to call webhook: Post "https://check.default.svc:443/": dial tcp 10.96.0.9:443: connect: connection refused`},
			Misses: []string{`I1121 10:00:00.000000       1 plugins.go:157] Loaded 14 mutating admission controller(s) successfully`},
		},
		{
			Name: "leader-lease-lost", Doc: "A controller lost its leadership because it could not renew its lease in time; the subject is the lease.",
			Classes: []Class{Scheduler, ControllerManager}, Literals: []string{"leaderelection lost", "eader election lost", "ailed to renew lease"}, AtLeast: 2, Within: time.Hour, TTL: 30 * time.Minute,
			Expr:   `"?[Ff]ailed to renew lease"? (?:lock=")?([^ ":]+)|leaderelection lost|[Ll]eader election lost`,
			Fits:   []string{`E1121 10:00:00.000000       1 leaderelection.go:441] "Failed to renew lease" lock="kube-system/kube-scheduler" err="context deadline exceeded"`, `E1121 10:00:00.000000       1 server.go:242] "Leaderelection lost" err="leaderelection lost"`},
			Misses: []string{`I1121 10:00:00.000000       1 leaderelection.go:271] "Successfully acquired lease" lock="kube-system/kube-scheduler"`},
		},
	}
}

// dnsPatterns are about CoreDNS.
func dnsPatterns() []Pattern {
	dns := []Class{CoreDNS}
	return []Pattern{
		{
			Name: "coredns-loop", Doc: "CoreDNS asks itself, because the resolver that it forwards to leads back to it.",
			Classes: dns, Literals: []string{"plugin/loop"}, TTL: 15 * time.Minute,
			Expr:   `plugin/loop: Loop \(([^)]+)\) detected`,
			Fits:   []string{`[FATAL] plugin/loop: Loop (127.0.0.1:55953 -> :53) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting. Query: "HINFO 4547991504243258144.3688648895315093531."`},
			Misses: []string{`[INFO] plugin/reload: Running configuration SHA512 = 591cf328`},
		},
		{
			Name: "coredns-upstream-failing", Doc: "CoreDNS gets no answer from the servers that it forwards to.",
			Classes: dns, Literals: []string{"plugin/errors: 2"}, AtLeast: 5, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr: `plugin/errors: 2 \S+ \w+: (?:read|write|dial) \w+ \S+->(\S+): `,
			// The loop plugin's own question goes unanswered at every start without a network.
			Not:    `plugin/errors: 2 \d+\.\d+\. HINFO`,
			Fits:   []string{`[ERROR] plugin/errors: 2 example.com. A: read udp 10.244.0.3:34523->10.0.0.2:53: i/o timeout`},
			Misses: []string{`[ERROR] plugin/errors: 2 4547991504243258144.3688648895315093531. HINFO: read udp 10.244.0.3:34523->10.0.0.2:53: i/o timeout`},
		},
		{
			Name: "coredns-servfail", Doc: "CoreDNS answers with SERVFAIL.",
			Classes: dns, Literals: []string{" SERVFAIL "}, AtLeast: 20, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr:   `"\S+ IN (\S+) \w+ .*" SERVFAIL `,
			Fits:   []string{`[INFO] 10.244.1.7:53211 - 31254 "A IN db.shop.svc.cluster.local. udp 47 false 512" SERVFAIL qr,aa,rd 140 0.000152s`},
			Misses: []string{`[INFO] 10.244.1.7:53211 - 31254 "A IN db.shop.svc.cluster.local. udp 47 false 512" NOERROR qr,aa,rd 92 0.000152s`},
		},
		{
			Name: "coredns-config-invalid", Doc: "CoreDNS does not start because of its Corefile.",
			Classes: dns, Literals: []string{"Error during parsing", "Unknown directive", "Corefile:"}, TTL: 15 * time.Minute,
			Expr:   `Corefile:\d+ - Error during parsing: (.*)|Unknown directive '([^']+)'`,
			Fits:   []string{`/etc/coredns/Corefile:4 - Error during parsing: Unknown directive 'forwad'`},
			Misses: []string{`[INFO] plugin/reload: Running configuration SHA512 = 591cf328`},
		},
	}
}

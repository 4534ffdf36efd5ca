package catalogue

import "time"

// kubeletPatterns are about the kubelet: cmd/kubelet/app/server.go, pkg/kubelet in Kubernetes.
func kubeletPatterns() []Pattern {
	kubelet := []Class{Kubelet}
	const started = `"Started kubelet"|Started kubelet$`
	return []Pattern{
		{
			Name: "kubelet-config-invalid", Doc: "The kubelet does not start because of its configuration.",
			Classes: kubelet, Literals: []string{"kubelet config", "KubeletConfiguration", "failed to parse kubelet flag", "unknown flag"}, TTL: 10 * time.Minute, Cleared: started,
			Expr: `[Ff]ailed to load [Kk]ubelet config.*?path: ([^, ]+)|[Ff]ailed to (?:load|validate) [Kk]ubelet config|failed to validate kubelet configuration|failed to parse kubelet flag|unknown flag: (\S+)`,
			Fits: []string{
				`E1121 10:00:00.000000    4711 run.go:72] "command failed" err="failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: failed to load Kubelet config file /var/lib/kubelet/config.yaml, error failed to decode"`,
				`E1121 10:00:00.000000    4711 run.go:72] "command failed" err="failed to validate kubelet configuration, error: invalid configuration: evictionHard"`,
				`E1121 10:00:00.000000    4711 run.go:72] "command failed" err="failed to parse kubelet flag: unknown flag: --network-plugin"`,
			},
			Misses: []string{`I1121 10:00:00.000000    4711 server.go:530] "Kubelet version" kubeletVersion="v1.36.3"`},
		},
		{
			Name: "kubelet-run-failed", Doc: "The kubelet ended because something that it needs is not there.",
			Classes: kubelet, Literals: []string{"ailed to run Kubelet", "ailed to run kubelet", "Failed to start ContainerManager"}, TTL: 10 * time.Minute, Cleared: started,
			Expr: `[Ff]ailed to run [Kk]ubelet|Failed to start ContainerManager`,
			Fits: []string{
				`E1121 10:00:00.000000    4711 run.go:72] "command failed" err="failed to run Kubelet: running with swap on is not supported, please disable swap"`,
				`E1121 10:00:00.000000    4711 kubelet.go:1500] "Failed to start ContainerManager" err="system validation failed"`,
			},
			Misses: []string{`I1121 10:00:00.000000    4711 kubelet.go:1475] "Starting kubelet main sync loop"`},
		},
		{
			Name: "kubelet-pleg-unhealthy", Doc: "The kubelet cannot list its containers in time, so that it starts and stops no Pods.",
			Classes: kubelet, Literals: []string{"PLEG is not healthy"}, TTL: 5 * time.Minute,
			// At its start the kubelet says "pleg has yet to be successful".
			Expr:   `PLEG is not healthy: (pleg was last seen active \S+ ago)`,
			Fits:   []string{`E1121 10:00:00.000000    4711 kubelet.go:2412] "Skipping pod synchronization" err="PLEG is not healthy: pleg was last seen active 3m12.5s ago; threshold is 3m0s"`},
			Misses: []string{`E1121 10:00:00.000000    4711 kubelet.go:2412] "Skipping pod synchronization" err="[container runtime status check may not have completed yet, PLEG is not healthy: pleg has yet to be successful]"`},
		},
		{
			Name: "kubelet-unauthorized", Doc: "The API server does not know the kubelet's certificate.",
			Classes: kubelet, Literals: []string{"Unauthorized"}, AtLeast: 3, Within: 5 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `err="?(?:.*: )?Unauthorized"?$|: Unauthorized$|Unauthorized"`,
			Fits:   []string{`E1121 10:00:00.000000    4711 kubelet_node_status.go:106] "Unable to register node with API server" err="Unauthorized" node="w1"`},
			Misses: []string{`E1121 10:00:00.000000    4711 remote_image.go:180] "PullImage from image service failed" err="rpc error: code = Unknown desc = failed to authorize: unexpected status: 401 Unauthorized, retry" image="r.example/x:1"`},
		},
		{
			Name: "kubelet-node-not-found", Doc: "The kubelet does not find its own Node object; the subject is the node.",
			Classes: kubelet, Literals: []string{"not found"}, AtLeast: 10, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr:   `err="nodes? \\"([^"\\]+)\\" not found"`,
			Fits:   []string{`E1121 10:00:00.000000    4711 kubelet_node_status.go:470] "Error getting the current node from lister" err="node \"w1\" not found"`},
			Misses: []string{`E1121 10:00:00.000000    4711 pod_workers.go:1300] "Error syncing pod, skipping" err="secret \"db\" not found"`},
		},
		{
			Name: "kubelet-evicts", Doc: "The kubelet evicts Pods because the machine runs short of something; the subject is what.",
			Classes: kubelet, Literals: []string{"viction manager: "}, TTL: 10 * time.Minute,
			Expr:   `[Ee]viction manager: (?:must evict pod\(s\) to reclaim|attempting to reclaim)"? ?(?:resourceName="([^"]+)")?`,
			Fits:   []string{`W1121 10:00:00.000000    4711 eviction_manager.go:376] "Eviction manager: attempting to reclaim" resourceName="ephemeral-storage"`, `I1121 10:00:00.000000    4711 eviction_manager.go:388] "Eviction manager: must evict pod(s) to reclaim" resourceName="memory"`},
			Misses: []string{`I1121 10:00:00.000000    4711 eviction_manager.go:189] "Eviction manager: starting control loop"`},
		},
		{
			Name: "static-pod-invalid", Doc: "The kubelet cannot read the manifest of a static Pod; the subject is the file.",
			Classes: kubelet, Literals: []string{"ould not process manifest file", "an't process manifest file"}, TTL: 2 * time.Minute,
			Expr: `[Cc](?:ould not|an't) process manifest file"? (?:.*path=)?"([^"]+)"`,
			Fits: []string{
				`E1121 10:00:00.000000    4711 file.go:187] "Could not process manifest file" err="/etc/kubernetes/manifests/etcd.yaml: couldn't parse as pod" path="/etc/kubernetes/manifests/etcd.yaml"`,
				`E1121 10:00:00.000000    4711 file.go:187] Can't process manifest file "/etc/kubernetes/manifests/etcd.yaml": invalid pod`,
				`E1121 10:00:00.000000    4711 file.go:108] "Could not process manifest file" path="/etc/kubernetes/manifests/x.yaml" err="read"`,
			},
			Misses: []string{`E1121 10:00:00.000000    4711 file_linux.go:61] "Unable to read config path" err="path does not exist, ignoring" path="/etc/kubernetes/manifests"`},
		},
		{
			Name: "fork-failed", Doc: "A component could not start a process because there were too many.",
			Classes: []Class{Kubelet, Containerd, Docker, CRIO}, Literals: []string{"resource temporarily unavailable", "failed to create new OS thread"}, TTL: 10 * time.Minute,
			Expr:   `fork/exec (\S+): resource temporarily unavailable|failed to create new OS thread \(have \d+ already; errno=11\)`,
			Fits:   []string{`E1121 10:00:00.000000    4711 mount_linux.go:150] Mount failed: fork/exec /usr/bin/systemd-run: resource temporarily unavailable`, `runtime: failed to create new OS thread (have 2 already; errno=11)`},
			Misses: []string{`read udp 10.0.0.1:53: resource temporarily unavailable`},
		},
		{
			Name: "kubelet-runtime-down", Doc: "The kubelet gets no answer from the container runtime.",
			Classes: kubelet, Literals: []string{"container runtime is down"}, AtLeast: 3, Within: 5 * time.Minute, TTL: 3 * time.Minute,
			Expr:   `container runtime is down`,
			Fits:   []string{`E1121 10:00:00.000000    4711 kubelet.go:2412] "Skipping pod synchronization" err="container runtime is down"`},
			Misses: []string{`E1121 10:00:00.000000    4711 kubelet.go:2412] "Skipping pod synchronization" err="container runtime status check may not have completed yet"`},
		},
		{
			Name: "kubelet-disk-slow", Doc: "Counting the use of containers' disks takes very long: the disk is slow or full of files.",
			Classes: kubelet, Literals: []string{"disk usage and inodes count on following dirs took"}, AtLeast: 3, Within: 30 * time.Minute, TTL: 30 * time.Minute,
			Expr:   `fs: disk usage and inodes count on following dirs took`,
			Fits:   []string{`I1121 10:00:00.000000    4711 fsHandler.go:135] fs: disk usage and inodes count on following dirs took 2.1s: [/var/lib/containerd/x]; will not log again for this container unless duration exceeds 4s`},
			Misses: []string{`I1121 10:00:00.000000    4711 factory.go:221] Registration of the containerd container factory successfully`},
		},
		{
			Name: "pod-not-ending", Doc: "A container that should have ended still runs; the kubelet waits for it.",
			Classes: kubelet, Literals: []string{"non-exited state"}, AtLeast: 3, Within: 15 * time.Minute, TTL: 10 * time.Minute,
			Expr:   `Pod still has one or more containers in the non-exited state and will not be removed from desired state"? ?(?:pod="([^"]+)")?`,
			Fits:   []string{`E1121 10:00:00.000000    4711 desired_state_of_world_populator.go:220] "Pod still has one or more containers in the non-exited state and will not be removed from desired state" pod="default/web-0"`},
			Misses: []string{`I1121 10:00:00.000000    4711 reconciler_common.go:293] "Volume detached for volume" pod="default/web-0"`},
		},
		{
			Name: "volume-mount-failed", Doc: "The kubelet cannot mount a volume; the subject is the volume.",
			Classes: kubelet, Literals: []string{"MountVolume."}, AtLeast: 5, Within: 20 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `MountVolume\.(?:SetUp|MountDevice|WaitForAttach|NewMounter initialization) failed for volume \\?"([^"\\]+)`,
			Fits:   []string{`E1121 10:00:00.000000    4711 nestedpendingoperations.go:348] Operation for "{volumeName:x}" failed. Error: MountVolume.SetUp failed for volume \"pvc-1\" (UniqueName: \"x\") pod \"web-0\" : mount failed: exit status 32`},
			Misses: []string{`I1121 10:00:00.000000    4711 operation_generator.go:610] MountVolume.SetUp succeeded for volume "pvc-1"`},
		},
		{
			Name: "certificate-not-valid", Doc: "A component refuses a certificate because it is expired or not valid yet.",
			Classes: []Class{Kubelet, APIServer, Scheduler, ControllerManager, KubeProxy, Etcd, Flannel}, Literals: []string{"certificate has expired or is not yet valid", "certificate is not valid yet"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			Expr:   `x509: certificate has expired or is not yet valid`,
			Fits:   []string{`E1121 10:00:00.000000    4711 reflector.go:205] "Failed to watch" err="failed to list *v1.Node: Get \"https://10.99.0.1:6443/api/v1/nodes\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2027-11-21T00:00:00Z is after 2026-11-21T00:00:00Z"`},
			Misses: []string{`E1121 10:00:00.000000    4711 transport.go:356] "Unable to authenticate the request" err="x509: certificate signed by unknown authority"`},
		},
		{
			Name: "kubelet-restarts", Doc: "The kubelet was started again and again, and nobody had ordered it to stop.",
			Classes: []Class{Systemd}, Literals: []string{"Started "}, AtLeast: 5, Within: 20 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `^Started (?:kubelet\.service\b|(?:\S+ - )?(?:kubelet: )?(?:The )?Kubernetes (?:Node Agent|[Kk]ubelet))`,
			Revert: `^Stopping (?:kubelet\.service\b|(?:kubelet: )?(?:The )?Kubernetes (?:Node Agent|[Kk]ubelet))`,
			Fits:   []string{"Started kubelet.service - kubelet: The Kubernetes Node Agent.", "Started kubelet: The Kubernetes Node Agent.", "Started Kubernetes Kubelet."},
			Misses: []string{"Stopped kubelet.service - kubelet: The Kubernetes Node Agent.", "Started rsyslog.service - System Logging Service."},
		},
	}
}

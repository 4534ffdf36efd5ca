package catalogue

import "time"

// runtimePatterns are about containerd, CRI-O and Docker.
func runtimePatterns() []Pattern {
	runtimes := []Class{Containerd, Docker, CRIO}
	return []Pattern{
		{
			Name: "containerd-restarts", Doc: "containerd was started again and again, and nobody had ordered it to stop.",
			Classes: []Class{Systemd}, Literals: []string{"Starting "}, AtLeast: 5, Within: 20 * time.Minute, TTL: 5 * time.Minute,
			Expr: `^Starting (?:containerd\.service\b|containerd container runtime)`, Revert: `^Stopping (?:containerd\.service\b|containerd container runtime)`,
			Fits: []string{"Starting containerd.service - containerd container runtime...", "Starting containerd container runtime..."}, Misses: []string{"Stopped containerd.service - containerd container runtime."},
		},
		{
			Name: "docker-restarts", Doc: "Docker was started again and again, and nobody had ordered it to stop.",
			Classes: []Class{Systemd}, Literals: []string{"Starting "}, AtLeast: 5, Within: 20 * time.Minute, TTL: 5 * time.Minute,
			Expr: `^Starting (?:docker\.service\b|Docker Application Container Engine)`, Revert: `^Stopping (?:docker\.service\b|Docker Application Container Engine)`,
			Fits: []string{"Starting docker.service - Docker Application Container Engine...", "Starting Docker Application Container Engine..."}, Misses: []string{"Stopped docker.service - Docker Application Container Engine."},
		},
		{
			Name: "container-create-failed", Doc: "The runtime cannot create containers.",
			Classes: runtimes, Literals: []string{"OCI runtime create failed", "failed to create containerd task", "failed to create shim"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			// A command that is not in its image is the image's fault, not the machine's.
			Expr: `OCI runtime create failed|failed to create containerd task|failed to create shim`, Not: `executable file not found|no such file or directory: unknown|permission denied: unknown|exec: \\*"`,
			Fits:   []string{`time="2026-11-21T10:00:00Z" level=error msg="StartContainer failed" error="failed to create containerd task: failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error: fork/exec /usr/bin/runc: input/output error"`},
			Misses: []string{`time="2026-11-21T10:00:00Z" level=error msg="StartContainer failed" error="failed to create containerd task: OCI runtime create failed: exec: \"nginy\": executable file not found in $PATH: unknown"`},
		},
		{
			Name: "sandbox-network-failed", Doc: "Pods get no network because the network plugin fails.",
			Classes: append([]Class{Kubelet}, runtimes...), Literals: []string{"setup network for sandbox", "no network config found in", "cni plugin not initialized"}, AtLeast: 5, Within: 10 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `failed to (?:setup|set up) network for sandbox|no network config found in (\S+?):|cni plugin not initialized`,
			Fits:   []string{`time="2026-11-21T10:00:00Z" level=error msg="RunPodSandbox failed" error="rpc error: code = Unknown desc = failed to setup network for sandbox \"1a\": plugin type=\"flannel\" failed (add): open /run/flannel/subnet.env: no such file or directory"`},
			Misses: []string{`time="2026-11-21T10:00:00Z" level=info msg="Start cni network conf syncer for default"`},
		},
		{
			Name: "image-layer-broken", Doc: "The runtime's store of images is damaged.",
			Classes: runtimes, Literals: []string{"failed to register layer", "/var/lib/docker/overlay2", "failed to extract layer", "layer not known"}, AtLeast: 2, Within: 30 * time.Minute, TTL: 30 * time.Minute,
			Expr: `failed to register layer: (?:rename .*directory not empty|.*(?:structure needs cleaning|input/output error))|readlink /var/lib/docker/overlay2\S*: invalid argument|failed to extract layer (\S+):.*(?:structure needs cleaning|input/output error|unexpected EOF)|layer not known`,
			Fits: []string{
				`time="2026-11-21T10:00:00Z" level=error msg="Error trying v2 registry: failed to register layer: rename /var/lib/docker/image/overlay2/layerdb/tmp/write-set-1 /var/lib/docker/image/overlay2/layerdb/sha256/ab: directory not empty"`,
				`time="2026-11-21T10:00:00Z" level=error msg="Handler for GET returned error: readlink /var/lib/docker/overlay2/l/ABC: invalid argument"`,
				`level=error msg="failed to mount container: layer not known"`,
			},
			Misses: []string{`time="2026-11-21T10:00:00Z" level=error msg="PullImage failed" error="failed to extract layer sha256:ab: context canceled"`},
		},
		{
			Name: "container-ended-before-start", Doc: "Containers end before they are started.",
			Classes: []Class{Docker}, Literals: []string{"OCI runtime start failed"}, AtLeast: 10, Within: 5 * time.Minute, TTL: 5 * time.Minute,
			Expr:   `OCI runtime start failed: container process is already dead`,
			Fits:   []string{`level=error msg="Handler for POST returned error: OCI runtime start failed: container process is already dead: unknown"`},
			Misses: []string{`level=info msg="Container 1a failed to exit within 10s of signal 15 - using the force"`},
		},
	}
}

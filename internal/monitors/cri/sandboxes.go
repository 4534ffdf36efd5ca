package cri

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// uidLabel is the pod's UID on its containers (k8s.io/kubelet/pkg/types/labels.go).
	uidLabel = "io.kubernetes.pod.uid"
	// sourceAnnotation says from where the kubelet has a pod (k8s.io/kubernetes/pkg/kubelet/types).
	sourceAnnotation = "kubernetes.io/config.source"
)

func (w *watcher) tellConditions(conditions []*runtimeapi.RuntimeCondition) {
	for _, c := range conditions {
		w.track(monitor.Bool(snapshot.KeyOf("cri", "condition", c.Type, "status"), c.Status))
		if c.Reason != "" {
			w.add(monitor.Value(snapshot.KeyOf("cri", "condition", c.Type, "reason"), c.Reason))
		}
		if c.Message != "" {
			w.add(monitor.Value(snapshot.KeyOf("cri", "condition", c.Type, "message"), c.Message))
		}
	}
}

func (w *watcher) tellVersion(ctx context.Context, client runtimeapi.RuntimeServiceClient) error {
	v, err := bounded(ctx, patience, func(ctx context.Context) (*runtimeapi.VersionResponse, error) {
		return client.Version(ctx, &runtimeapi.VersionRequest{})
	})
	if err != nil {
		return fmt.Errorf("asking the container runtime for its version: %w", err)
	}
	w.add(monitor.Value("cri/runtime", v.RuntimeName))
	w.add(monitor.Value("cri/version", v.RuntimeVersion))
	return nil
}

func (w *watcher) tellImages(ctx context.Context, client runtimeapi.ImageServiceClient) error {
	r, err := bounded(ctx, listPatience, func(ctx context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
		return client.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{})
	})
	if err != nil {
		return fmt.Errorf("asking the container runtime for the use of its image file system: %w", err)
	}
	for _, u := range r.ImageFilesystems {
		at := cmp.Or(u.GetFsId().GetMountpoint(), "unknown")
		w.add(monitor.Int(snapshot.KeyOf("cri", "image-filesystem", at, "used"), u.GetUsedBytes().GetValue()))
		w.add(monitor.Int(snapshot.KeyOf("cri", "image-filesystem", at, "inodes"), u.GetInodesUsed().GetValue()))
	}
	return nil
}

// counts are a pod's containers by state.
type counts struct{ running, exited, created int }

// tellSandboxes tells of each pod that the runtime has, by its newest sandbox.
func (w *watcher) tellSandboxes(ctx context.Context, client runtimeapi.RuntimeServiceClient) error {
	sandboxes, err := bounded(ctx, listPatience, func(ctx context.Context) (*runtimeapi.ListPodSandboxResponse, error) {
		return client.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	})
	if err != nil {
		return fmt.Errorf("listing pod sandboxes: %w", err)
	}
	containers, err := bounded(ctx, listPatience, func(ctx context.Context) (*runtimeapi.ListContainersResponse, error) {
		return client.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	})
	if err != nil {
		return fmt.Errorf("listing containers: %w", err)
	}
	of := map[string]*counts{}
	for _, c := range containers.Containers {
		uid := c.Labels[uidLabel]
		if of[uid] == nil {
			of[uid] = &counts{}
		}
		switch c.State {
		case runtimeapi.ContainerState_CONTAINER_RUNNING:
			of[uid].running++
		case runtimeapi.ContainerState_CONTAINER_EXITED:
			of[uid].exited++
		case runtimeapi.ContainerState_CONTAINER_CREATED:
			of[uid].created++
		case runtimeapi.ContainerState_CONTAINER_UNKNOWN:
		}
	}
	newest := map[string]*runtimeapi.PodSandbox{}
	ready, notReady := 0, 0
	for _, s := range sandboxes.Items {
		if s.State == runtimeapi.PodSandboxState_SANDBOX_READY {
			ready++
		} else {
			notReady++
		}
		uid := s.GetMetadata().GetUid()
		if old := newest[uid]; uid != "" && (old == nil || old.CreatedAt < s.CreatedAt) {
			newest[uid] = s
		}
	}
	w.add(monitor.Int("cri/sandboxes/ready", ready))
	w.add(monitor.Int("cri/sandboxes/not-ready", notReady))
	w.forget(sandboxes.Items)
	for uid, s := range newest {
		w.tellSandbox(ctx, client, uid, s, of[uid])
	}
	return nil
}

func (w *watcher) tellSandbox(ctx context.Context, client runtimeapi.RuntimeServiceClient, uid string, s *runtimeapi.PodSandbox, c *counts) {
	name := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("sandbox", uid, what) }
	w.add(monitor.Value(name("pod"), s.Metadata.Namespace+"/"+s.Metadata.Name))
	state := "not-ready"
	if s.State == runtimeapi.PodSandboxState_SANDBOX_READY {
		state = "ready"
	}
	w.add(monitor.Value(name("state"), state))
	w.add(monitor.Moment(name("created"), time.Unix(0, s.CreatedAt)))
	if from := s.Annotations[sourceAnnotation]; from != "" && from != "api" {
		w.add(monitor.Bool(name("static"), true))
	}
	if ip := w.address(ctx, client, s, state == "ready"); ip != "" {
		w.add(monitor.Value(name("ip"), ip))
	}
	if c == nil {
		c = &counts{}
	}
	w.add(monitor.Int(name("running"), c.running))
	w.add(monitor.Int(name("exited"), c.exited))
	if c.created > 0 {
		w.add(monitor.Int(name("created-only"), c.created))
	}
}

// address is that of a sandbox. It is asked for once for each: it does not change while the sandbox is.
func (w *watcher) address(ctx context.Context, client runtimeapi.RuntimeServiceClient, s *runtimeapi.PodSandbox, ready bool) string {
	if !ready {
		return ""
	}
	if ip, ok := w.addresses[s.Id]; ok {
		return ip
	}
	r, err := bounded(ctx, patience, func(ctx context.Context) (*runtimeapi.PodSandboxStatusResponse, error) {
		return client.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: s.Id})
	})
	if err != nil {
		return "" // It was removed since it was listed, or is asked again next time.
	}
	ip := r.GetStatus().GetNetwork().GetIp()
	w.addresses[s.Id] = ip
	return ip
}

// forget drops the addresses of sandboxes that are no more.
func (w *watcher) forget(still []*runtimeapi.PodSandbox) {
	ids := make(map[string]bool, len(still))
	for _, s := range still {
		ids[s.Id] = true
	}
	maps.DeleteFunc(w.addresses, func(id, _ string) bool { return !ids[id] })
}

package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// serve opens the kubelet's port: logs, configuration, statistics.
func (n *Node) serve(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(n.address, strconv.Itoa(kubeletPort)))
	if err != nil {
		return fmt.Errorf("opening the port of the kubelet of %s: %w", n.Name, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", n.containerLog)
	mux.HandleFunc("GET /configz", n.configz)
	mux.HandleFunc("GET /stats/summary", n.stats)
	n.mu.Lock()
	n.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}
	server := n.server
	n.mu.Unlock()
	go func() {
		_ = server.ServeTLS(listener, n.world.pki.path("kubelet.crt"), n.world.pki.path("kubelet.key")) // until it is closed
	}()
	return nil
}

func (n *Node) close() {
	n.mu.Lock()
	server := n.server
	n.server = nil
	n.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
}

func (n *Node) containerLog(w http.ResponseWriter, r *http.Request) {
	namespace, name, container := r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container")
	p, err := n.world.podLister.Pods(namespace).Get(name)
	if err != nil || p.Spec.NodeName != n.Name {
		http.Error(w, fmt.Sprintf("pod %q does not exist", name), http.StatusNotFound)
		return
	}
	if component, ok := n.componentOf(p); ok {
		if text, err := os.ReadFile(component.log); err == nil {
			tail(w, r, string(text))
		}
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	state := n.pods[p.UID]
	if state == nil || state.containers[container] == nil || state.containers[container].started.IsZero() {
		http.Error(w, fmt.Sprintf("container %q in pod %q is waiting to start: ContainerCreating", container, name), http.StatusBadRequest)
		return
	}
	c := state.containers[container]
	text := c.log
	if r.URL.Query().Get("previous") == "true" {
		if c.last == nil && c.exit == nil {
			http.Error(w, fmt.Sprintf("previous terminated container %q in pod %q not found", container, name), http.StatusBadRequest)
			return
		}
		if c.running {
			text = c.previous
		}
	}
	tail(w, r, text)
}

// tail writes the end of a log as the request wants it.
func tail(w http.ResponseWriter, r *http.Request, text string) {
	lines := strings.SplitAfter(text, "\n")
	if n, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil && len(lines) > n+1 {
		lines = lines[len(lines)-n-1:]
	}
	fmt.Fprint(w, strings.Join(lines, ""))
}

// configz is the part of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1) that differs
// between kubelets or that somebody might look at.
func (n *Node) configz(w http.ResponseWriter, _ *http.Request) {
	config := map[string]any{
		"syncFrequency": "1m0s", "address": "0.0.0.0", "port": kubeletPort, "maxPods": 110, "cgroupDriver": "cgroupfs",
		"nodeStatusUpdateFrequency": "10s", "nodeStatusReportFrequency": "5m0s", "nodeLeaseDurationSeconds": leaseSeconds,
		"clusterDomain": "cluster.local", "clusterDNS": []string{n.world.ServiceAddress(10)}, "staticPodPath": "/etc/kubernetes/manifests",
		"evictionHard":                    map[string]string{"imagefs.available": "15%", "memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
		"containerRuntimeEndpoint":        "unix:///run/containerd/containerd.sock",
		"shutdownGracePeriod":             "0s",
		"shutdownGracePeriodCriticalPods": "0s",
	}
	if n.has(Reserved) {
		config["kubeReserved"] = map[string]string{"cpu": "1900m"}
	}
	answer(w, map[string]any{"kubeletconfig": config})
}

// stats is a Summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1).
func (n *Node) stats(w http.ResponseWriter, _ *http.Request) {
	const gib = int64(1) << 30
	now := metav1.Now()
	available, memory := 12*gib, 3*gib
	if n.has(DiskPressure) {
		available = 612 << 20
	}
	if n.has(MemoryPressure) {
		memory = 61 << 20
	}
	fs := map[string]any{
		"time": now, "availableBytes": available, "capacityBytes": 20 * gib, "usedBytes": 20*gib - available,
		"inodes": 1310720, "inodesFree": 1200000, "inodesUsed": 110720,
	}
	var pods []map[string]any
	all, err := n.world.podLister.List(labels.Everything())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, p := range all {
		if p.Spec.NodeName != n.Name {
			continue
		}
		pod := map[string]any{"podRef": map[string]any{"name": p.Name, "namespace": p.Namespace, "uid": p.UID}, "startTime": p.CreationTimestamp}
		var volumes []map[string]any
		for _, v := range p.Spec.Volumes {
			if v.PersistentVolumeClaim == nil {
				continue
			}
			used := n.world.usage(p.Namespace, v.PersistentVolumeClaim.ClaimName)
			volumes = append(volumes, map[string]any{
				"time": now, "name": v.Name, "pvcRef": map[string]any{"name": v.PersistentVolumeClaim.ClaimName, "namespace": p.Namespace},
				"capacityBytes": volumeBytes, "usedBytes": used, "availableBytes": volumeBytes - used,
				"inodes": 16384, "inodesUsed": 20, "inodesFree": 16364,
			})
		}
		if len(volumes) > 0 {
			pod["volume"] = volumes
		}
		pods = append(pods, pod)
	}
	answer(w, map[string]any{
		"node": map[string]any{
			"nodeName": n.Name, "startTime": metav1.NewTime(n.started), "fs": fs,
			"memory":  map[string]any{"time": now, "availableBytes": memory, "usageBytes": 4*gib - memory, "workingSetBytes": 4*gib - memory},
			"runtime": map[string]any{"imageFs": fs},
			"rlimit":  map[string]any{"time": now, "maxpid": 32768, "curproc": 180},
		},
		"pods": pods,
	})
}

func answer(w http.ResponseWriter, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data) // a client that has gone has no use for an error
}

// volumeBytes is the size of every volume.
const volumeBytes = int64(64) << 20

// SetUsage says how many bytes of a claim's volume are used.
func (w *World) SetUsage(namespace, claim string, bytes int64) {
	w.programs.mu.Lock()
	defer w.programs.mu.Unlock()
	if w.used == nil {
		w.used = map[string]int64{}
	}
	w.used[namespace+"/"+claim] = bytes
}

func (w *World) usage(namespace, claim string) int64 {
	w.programs.mu.Lock()
	defer w.programs.mu.Unlock()
	if used, ok := w.used[namespace+"/"+claim]; ok {
		return used
	}
	return 9 << 20
}

// serveMetrics is the metrics API behind the Service metrics-server, at its cluster address.
func (w *World) serveMetrics(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(w.ServiceAddress(20), "443"))
	if err != nil {
		return fmt.Errorf("opening the metrics API: %w", err)
	}
	mux := http.NewServeMux()
	const group = "/apis/metrics.k8s.io/v1beta1"
	mux.HandleFunc("GET "+group, func(out http.ResponseWriter, _ *http.Request) {
		answer(out, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "metrics.k8s.io/v1beta1",
			APIResources: []metav1.APIResource{
				{Name: "nodes", Kind: "NodeMetrics", Verbs: metav1.Verbs{"get", "list"}},
				{Name: "pods", Namespaced: true, Kind: "PodMetrics", Verbs: metav1.Verbs{"get", "list"}},
			},
		})
	})
	mux.HandleFunc("GET "+group+"/namespaces/{namespace}/pods", w.podMetrics)
	mux.HandleFunc("GET "+group+"/pods", w.podMetrics)
	mux.HandleFunc("GET /openapi/", http.NotFound)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)}
	w.servers = append(w.servers, server)
	go func() {
		_ = server.ServeTLS(listener, w.pki.path("kubelet.crt"), w.pki.path("kubelet.key")) // until it is closed
	}()
	return nil
}

func (w *World) podMetrics(out http.ResponseWriter, r *http.Request) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	pods, err := w.podLister.Pods(r.PathValue("namespace")).List(selector)
	if err != nil {
		http.Error(out, err.Error(), http.StatusInternalServerError)
		return
	}
	items := []map[string]any{}
	for _, p := range pods {
		if p.Status.Phase != corev1.PodRunning {
			continue
		}
		var containers []map[string]any
		for _, c := range p.Spec.Containers {
			containers = append(containers, map[string]any{"name": c.Name, "usage": map[string]string{"cpu": "10m", "memory": "12Mi"}})
		}
		items = append(items, map[string]any{
			"metadata":  map[string]any{"name": p.Name, "namespace": p.Namespace, "labels": p.Labels},
			"timestamp": metav1.Now(), "window": "15s", "containers": containers,
		})
	}
	answer(out, map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items})
}

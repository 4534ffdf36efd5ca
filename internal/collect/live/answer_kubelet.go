package live

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	statsv1alpha1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// maxKubeletBytes bounds what is read of a kubelet's answer: /stats/summary has some 10 KiB a pod.
	maxKubeletBytes = 16 << 20
	// biggestPods is how many pods' use of memory, and of disk, an answer keeps.
	biggestPods = 10
	// fullestVolumes is how many volumes an answer keeps; with 350 bytes each they fit.
	fullestVolumes = 100
)

// kubeletConfig reads the configuration that a kubelet runs with
// (k8s.io/kubernetes/pkg/kubelet/server, /configz: an object with one field, kubeletconfig).
func (c *Client) kubeletConfig(ctx context.Context, node string) snapshot.Answer {
	body, err := c.throughNode(ctx, node, "configz")
	if err != nil {
		return kubeletError(err)
	}
	var configz struct {
		KubeletConfig json.RawMessage `json:"kubeletconfig"`
	}
	if err := json.Unmarshal(body, &configz); err != nil || len(configz.KubeletConfig) == 0 {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "the kubelet's /configz has no kubeletconfig"}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: string(configz.KubeletConfig)}
}

// kubeletStats reads what a kubelet measures, and keeps what snapshot.KubeletStats says.
func (c *Client) kubeletStats(ctx context.Context, node string) snapshot.Answer {
	body, err := c.throughNode(ctx, node, "stats", "summary")
	if err != nil {
		return kubeletError(err)
	}
	var summary statsv1alpha1.Summary
	if err := json.Unmarshal(body, &summary); err != nil {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "reading the kubelet's /stats/summary: " + err.Error()}
	}
	text, err := json.Marshal(reduceStats(summary))
	if err != nil {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "writing the kubelet's stats: " + err.Error()}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: string(text)}
}

// containerMetrics reads what a kubelet has counted of a container. The second page, which a kubelet gathers anew
// for each request, is asked for where a limit of CPU makes it count; without it stands what the first says.
func (c *Client) containerMetrics(ctx context.Context, q snapshot.Question) snapshot.Answer {
	pod, ok := snapshot.Get[*corev1.Pod](c.snapshot.Load(), q.Namespace, q.Name)
	if !ok || pod.Spec.NodeName == "" {
		return snapshot.Answer{Outcome: snapshot.Absent, Error: "no node runs pod " + q.Namespace + "/" + q.Name}
	}
	probes, err := c.metricsOf(ctx, q, pod.Spec.NodeName, "probes")
	if err != nil {
		return kubeletError(err)
	}
	if !slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(container corev1.Container) bool {
		return container.Name == q.Container && !container.Resources.Limits.Cpu().IsZero()
	}) {
		return snapshot.Answer{Outcome: snapshot.Answered, Text: probes}
	}
	periods, err := c.metricsOf(ctx, q, pod.Spec.NodeName, "cadvisor")
	if err != nil {
		periods = ""
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: probes + periods}
}

// metricsOf reads of one page of a kubelet's metrics what is about a container.
func (c *Client) metricsOf(ctx context.Context, q snapshot.Question, node, page string) (string, error) {
	body, err := c.fromNode(ctx, node, "text/plain", "metrics", page)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	return collect.ContainerMetrics(io.LimitReader(body, maxKubeletBytes), q)
}

// fromNode asks a kubelet through the API server.
func (c *Client) fromNode(ctx context.Context, node, accept string, path ...string) (io.ReadCloser, error) {
	return c.rest.Get().AbsPath(append([]string{"/api/v1/nodes", node, "proxy"}, path...)...).MaxRetries(0).SetHeader("Accept", accept).Stream(ctx)
}

// throughNode reads a kubelet's whole answer in JSON.
func (c *Client) throughNode(ctx context.Context, node string, path ...string) ([]byte, error) {
	body, err := c.fromNode(ctx, node, "application/json", path...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(io.LimitReader(body, maxKubeletBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the kubelet's answer: %w", err)
	}
	if len(data) > maxKubeletBytes {
		return nil, errors.New("the kubelet's answer is larger than Maek reads")
	}
	return data, nil
}

func kubeletError(err error) snapshot.Answer {
	outcome, said := answerTo(err)
	return snapshot.Answer{Outcome: outcome, Error: said}
}

// reduceStats keeps what rules read, in a fixed order.
func reduceStats(in statsv1alpha1.Summary) statsv1alpha1.Summary {
	node := in.Node
	out := statsv1alpha1.Summary{Node: statsv1alpha1.NodeStats{
		NodeName: node.NodeName, StartTime: node.StartTime, CPU: node.CPU, Memory: node.Memory,
		Fs: node.Fs, Runtime: node.Runtime, Rlimit: node.Rlimit,
	}}
	for _, s := range node.SystemContainers {
		out.Node.SystemContainers = append(out.Node.SystemContainers,
			statsv1alpha1.ContainerStats{Name: s.Name, StartTime: s.StartTime, CPU: s.CPU, Memory: s.Memory})
	}
	memory, disk := biggest(in.Pods, workingSet), biggest(in.Pods, ephemeral)
	volumes := fullest(in.Pods)
	for i, p := range in.Pods {
		kept := statsv1alpha1.PodStats{PodRef: p.PodRef, StartTime: p.StartTime}
		if memory[i] {
			kept.Memory = &statsv1alpha1.MemoryStats{Time: p.Memory.Time, WorkingSetBytes: p.Memory.WorkingSetBytes}
		}
		if disk[i] {
			kept.EphemeralStorage = p.EphemeralStorage
		}
		for j, v := range p.VolumeStats {
			if volumes[[2]int{i, j}] {
				kept.VolumeStats = append(kept.VolumeStats, v)
			}
		}
		if memory[i] || disk[i] || len(kept.VolumeStats) > 0 {
			out.Pods = append(out.Pods, kept)
		}
	}
	slices.SortFunc(out.Pods, func(a, b statsv1alpha1.PodStats) int {
		return cmp.Or(cmp.Compare(a.PodRef.Namespace, b.PodRef.Namespace), cmp.Compare(a.PodRef.Name, b.PodRef.Name))
	})
	return out
}

func workingSet(p statsv1alpha1.PodStats) *uint64 {
	if p.Memory == nil {
		return nil
	}
	return p.Memory.WorkingSetBytes
}

func ephemeral(p statsv1alpha1.PodStats) *uint64 {
	if p.EphemeralStorage == nil {
		return nil
	}
	return p.EphemeralStorage.UsedBytes
}

// biggest are the indexes of the pods that use most of something.
func biggest(pods []statsv1alpha1.PodStats, use func(statsv1alpha1.PodStats) *uint64) map[int]bool {
	var known []int
	for i := range pods {
		if use(pods[i]) != nil {
			known = append(known, i)
		}
	}
	slices.SortStableFunc(known, func(a, b int) int { return cmp.Compare(*use(pods[b]), *use(pods[a])) })
	out := map[int]bool{}
	for _, i := range known[:min(len(known), biggestPods)] {
		out[i] = true
	}
	return out
}

// fullest are the volumes of claims with the least space left, by the indexes of pod and volume.
func fullest(pods []statsv1alpha1.PodStats) map[[2]int]bool {
	type volume struct {
		at   [2]int
		free float64
	}
	var all []volume
	for i, p := range pods {
		for j, v := range p.VolumeStats {
			if v.PVCRef == nil {
				continue
			}
			all = append(all, volume{[2]int{i, j}, min(share(v.AvailableBytes, v.CapacityBytes), share(v.InodesFree, v.Inodes))})
		}
	}
	slices.SortStableFunc(all, func(a, b volume) int { return cmp.Compare(a.free, b.free) })
	out := map[[2]int]bool{}
	for _, v := range all[:min(len(all), fullestVolumes)] {
		out[v.at] = true
	}
	return out
}

// share of the whole that is left; 1 where it is not known.
func share(left, whole *uint64) float64 {
	if left == nil || whole == nil || *whole == 0 {
		return 1
	}
	return float64(*left) / float64(*whole)
}

package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/snapshot"
)

// proberTotal counts attempts by result, without those that are discarded
// (k8s.io/kubernetes/pkg/kubelet/prober/prober_manager.go, ProberResults).
const proberTotal = "prober_probe_total"

// maxMetrics bounds what is read of a kubelet's page of probes, in bytes: a few hundred for each probe of
// its pods.
const maxMetrics = 4 << 20

// proberMetrics are the kubelet's counters of probes.
func (r *reader) proberMetrics(ctx context.Context, node string) (snapshot.Metrics, error) {
	cfg := rest.CopyConfig(r.config)
	cfg.APIPath, cfg.GroupVersion = "/api", &corev1.SchemeGroupVersion
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(r.client.Scheme()).WithoutConversion()
	c, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("preparing to ask the kubelet: %w", err)
	}
	body, err := c.Get().AbsPath("/api/v1/nodes", node, "proxy/metrics/probes").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	// Histograms are most of the page, and are not read.
	var kept strings.Builder
	lines := bufio.NewScanner(io.LimitReader(body, maxMetrics))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), proberTotal) {
			kept.WriteString(lines.Text() + "\n")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the kubelet's counters: %w", err)
	}
	return snapshot.ParseMetrics(kept.String())
}

// counted are the kubelet's counters of one probe by result; nil where there are none.
func counted(metrics snapshot.Metrics, pod *corev1.Pod, container string, kind probe.Kind) map[string]int {
	var out map[string]int
	for _, s := range metrics[proberTotal] {
		l := s.Labels
		if l["namespace"] != pod.Namespace || l["pod"] != pod.Name || l["container"] != container || l["probe_type"] != string(kind) || l["pod_uid"] != string(pod.UID) {
			continue
		}
		if out == nil {
			out = map[string]int{}
		}
		out[l["result"]] += int(s.Value)
	}
	return out
}

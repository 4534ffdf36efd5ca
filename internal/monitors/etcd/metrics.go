package etcd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// wanted are the metrics that are read of the 170 KB that etcd gives: the others are not even parsed
// (https://etcd.io/docs/v3.6/metrics/).
var wanted = []string{
	"etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds", "etcd_network_peer_round_trip_time_seconds",
	"etcd_server_has_leader", "etcd_server_leader_changes_seen_total", "etcd_server_proposals_failed_total", "etcd_server_proposals_pending",
	"etcd_server_slow_apply_total", "etcd_server_heartbeat_send_failures_total", "etcd_server_quota_backend_bytes",
	"etcd_debugging_mvcc_compact_revision", "etcd_debugging_mvcc_current_revision", "process_start_time_seconds",
}

// metricsLimit bounds what is read of etcd's metrics.
const metricsLimit = 8 << 20

// sample is what the metrics said at a moment.
type sample struct {
	at time.Time
	// values by metric.
	values map[string]float64
	// histograms by metric and, where there is one, the peer's ID.
	histograms map[string][]bucket
}

// bucket counts what took at most so many seconds.
type bucket struct {
	upTo  float64
	count float64
}

// browser makes requests of etcd's HTTP side. Nothing is kept open between looks.
func browser(config *tls.Config) *http.Client {
	own := config.Clone()
	own.NextProtos = nil
	return &http.Client{Transport: &http.Transport{DialContext: new(net.Dialer).DialContext, TLSClientConfig: own, DisableKeepAlives: true}}
}

func get(ctx context.Context, client *http.Client, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// scrape reads the metrics.
func scrape(ctx context.Context, client *http.Client, base string, at time.Time) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := get(ctx, client, base+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of etcd: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading the metrics of etcd: %s/metrics answers %s", base, resp.Status)
	}
	s, err := parse(io.LimitReader(resp.Body, metricsLimit), at)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of etcd: %w", err)
	}
	return s, nil
}

// parse keeps the wanted lines and reads those.
func parse(r io.Reader, at time.Time) (*sample, error) {
	var kept bytes.Buffer
	for lines := bufio.NewScanner(r); ; {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return nil, err
			}
			break
		}
		line := lines.Bytes()
		name := bytes.TrimPrefix(line, []byte("# TYPE "))
		for _, w := range wanted {
			if bytes.HasPrefix(name, []byte(w)) {
				kept.Write(line)
				kept.WriteByte('\n')
				break
			}
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&kept)
	if err != nil {
		return nil, err
	}
	s := &sample{at: at, values: map[string]float64{}, histograms: map[string][]bucket{}}
	for name, family := range families {
		for _, m := range family.Metric {
			s.take(name, m)
		}
	}
	return s, nil
}

func (s *sample) take(name string, m *dto.Metric) {
	h := m.GetHistogram()
	if h == nil {
		s.values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		return
	}
	if i := slices.IndexFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == "To" }); i >= 0 {
		name += "/" + strings.ToLower(m.Label[i].GetValue())
	}
	for _, b := range h.Bucket {
		s.histograms[name] = append(s.histograms[name], bucket{b.GetUpperBound(), float64(b.GetCumulativeCount())})
	}
}

// p99 is the value in seconds that 99 of 100 of what happened since an earlier sample did not exceed, as
// Prometheus' histogram_quantile reckons it; nil stands for the start of the process. It is false where
// too little happened to tell.
func (s *sample) p99(name string, before *sample) (float64, bool) {
	const (
		part = 0.99
		// few is below how many a hundredth part means nothing.
		few = 100
	)
	buckets := s.histograms[name]
	var old []bucket
	if before != nil {
		old = before.histograms[name]
	}
	count := func(i int) float64 {
		if i < len(old) && len(old) == len(buckets) {
			return buckets[i].count - old[i].count
		}
		return buckets[i].count
	}
	if len(buckets) == 0 || count(len(buckets)-1) < few {
		return 0, false
	}
	rank := part * count(len(buckets)-1)
	for i, b := range buckets {
		if count(i) < rank {
			continue
		}
		if i == 0 {
			return b.upTo * rank / count(0), true
		}
		if math.IsInf(b.upTo, 1) {
			return buckets[i-1].upTo, true
		}
		from := buckets[i-1].upTo
		return from + (b.upTo-from)*(rank-count(i-1))/(count(i)-count(i-1)), true
	}
	return 0, false
}

// grown is by how much a counter grew since an earlier sample; false where the process is another one.
func (s *sample) grown(name string, before *sample) (float64, bool) {
	now, ok := s.values[name]
	if !ok || before == nil || before.values["process_start_time_seconds"] != s.values["process_start_time_seconds"] {
		return 0, false
	}
	return now - before.values[name], true
}

// health is what /health says.
type health struct {
	// Health is "true" or "false", Reason etcd's words for why not.
	Health string `json:"health"`
	Reason string `json:"reason"`
}

// checkHealth reads /health, which answers 503 with the reason where the member is not.
func checkHealth(ctx context.Context, client *http.Client, base string) (health, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := get(ctx, client, base+"/health")
	if err != nil {
		return health{}, fmt.Errorf("reading /health of etcd: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var h health
	if err := json.NewDecoder(io.LimitReader(resp.Body, smallFile)).Decode(&h); err != nil {
		return health{}, fmt.Errorf("reading /health of etcd: %s answers %s: %w", base, resp.Status, err)
	}
	return h, nil
}

package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// configured tells how etcd and kube-apiserver are set up here.
func (w *watcher) configured(f found) {
	local := func(name, value string) {
		if value != "" {
			w.add(monitor.Value(snapshot.KeyOf("etcd", "local", name), value))
		}
	}
	if f.server != nil {
		local("api-server-uses", strings.Join(f.server.flags.list("etcd-servers"), ","))
	}
	if f.etcd == nil {
		local("source", fromAPIServer)
		local("path", f.server.path)
		return
	}
	local("source", f.etcd.source)
	local("path", f.etcd.path)
	local("name", f.etcd.flags["name"])
	local("data-dir", f.etcd.flags["data-dir"])
	local("client-url", f.etcd.clientURL())
	local("initial-cluster", strings.Join(f.etcd.flags.list("initial-cluster"), ","))
	local("quota-flag", f.etcd.flags["quota-backend-bytes"])
	listening := append(f.etcd.flags.list("listen-client-urls"), f.etcd.clientURL())
	w.add(monitor.Bool("etcd/local/plain-clients", slices.ContainsFunc(listening, func(u string) bool { return isPlain(u) && !isLoopback(u) })))
	w.add(monitor.Bool("etcd/local/client-auth", f.etcd.flags.on("client-cert-auth")))
	peers := f.etcd.flags.list("listen-peer-urls")
	w.add(monitor.Bool("etcd/local/plain-peers", slices.ContainsFunc(peers, func(u string) bool { return isPlain(u) && !isLoopback(u) })))
	w.add(monitor.Bool("etcd/local/peer-auth", f.etcd.flags.on("peer-client-cert-auth")))
}

func isPlain(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Scheme == "http"
}

// tellMembers tells what each member said.
func (w *watcher) tellMembers(f found, views map[string]view) {
	if w.known.Cluster != 0 {
		w.add(monitor.Value("etcd/cluster/id", formatID(w.known.Cluster)))
	}
	alarms := map[string]bool{}
	for _, m := range w.known.Members {
		name := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("etcd", "member", m.key(), what) }
		w.add(monitor.Value(name("name"), m.Name))
		w.add(monitor.Value(name("peer-urls"), strings.Join(m.PeerURLs, ",")))
		w.add(monitor.Value(name("client-urls"), strings.Join(m.ClientURLs, ",")))
		w.add(monitor.Bool(name("learner"), m.Learner))
		if m.Learner && !m.LearnerSince.IsZero() {
			w.add(monitor.Moment(name("learner-since"), m.LearnerSince))
		}
		v := w.viewOf(m, views)
		if v == nil {
			continue
		}
		if f.etcd != nil && v.url == f.etcd.clientURL() && (v.id != 0 || m.Name == f.etcd.flags["name"]) {
			w.own = m.ID
		}
		w.track(monitor.Value(name("answer"), v.answer))
		if v.reason != "" {
			w.add(monitor.Value(name("error"), v.reason))
		}
		w.add(monitor.Float(name("seconds"), v.took.Seconds()))
		if !v.certificate.expires.IsZero() {
			w.add(monitor.Moment(name("certificate-expires"), v.certificate.expires))
			w.add(monitor.Value(name("certificate-subject"), v.certificate.subject))
		}
		w.tellAnswer(name, v, alarms)
	}
	for a := range alarms {
		kind, id, _ := strings.Cut(a, " ")
		w.track(monitor.Value(snapshot.KeyOf("etcd", "alarm", id, kind), "true"))
	}
}

// tellAnswer tells what a member that answers said.
func (w *watcher) tellAnswer(name func(string) snapshot.EvidenceKey, v *view, alarms map[string]bool) {
	if v.quorumRead != "" {
		w.track(monitor.Value(name("quorum-read"), v.quorumRead))
		w.add(monitor.Float(name("quorum-read-seconds"), v.quorumTook.Seconds()))
		w.add(monitor.Value(name("own-read"), v.ownRead))
	}
	if v.quorumReason != "" {
		w.add(monitor.Value(name("quorum-error"), v.quorumReason))
	}
	if v.old != nil {
		w.add(monitor.Value(name("version"), v.old.version))
		w.track(monitor.Value(name("leader"), formatID(v.old.leader)))
		return
	}
	s := v.status
	if s == nil {
		return
	}
	w.add(monitor.Value(name("version"), s.Version))
	w.track(monitor.Value(name("leader"), formatID(s.Leader)))
	w.add(monitor.Int(name("db-size"), s.DbSize))
	w.add(monitor.Int(name("db-size-in-use"), s.DbSizeInUse))
	if s.DbSizeQuota > 0 {
		w.add(monitor.Int(name("db-quota"), s.DbSizeQuota))
	}
	w.add(monitor.Int(name("revision"), s.GetHeader().GetRevision()))
	w.add(monitor.Int(name("raft-term"), s.RaftTerm))
	w.add(monitor.Int(name("raft-index"), s.RaftIndex))
	w.add(monitor.Int(name("raft-applied"), s.RaftAppliedIndex))
	for _, e := range s.Errors {
		if kind, id, ok := alarmOf(e); ok {
			alarms[kind+" "+id] = true
		}
	}
}

// alarmOf reads an alarm from the errors of a member's status: the words of an AlarmMember, as
// `memberID:123 alarm:NOSPACE ` (go.etcd.io/etcd/server/etcdserver/api/v3rpc/maintenance.go, Status).
func alarmOf(text string) (kind, id string, ok bool) {
	for field := range strings.FieldsSeq(text) {
		switch name, value, _ := strings.Cut(field, ":"); name {
		case "memberID":
			id = value
		case "alarm":
			kind = value
		}
	}
	if kind == "" {
		return "", "", false
	}
	return kind, hexadecimal(id), true
}

// tellLocal tells of the member on this machine, what only it can say.
func (w *watcher) tellLocal(ctx context.Context, f found, config *tls.Config, views map[string]view) error {
	if w.own == 0 {
		for _, m := range w.known.Members {
			if m.ID != 0 && m.Name == f.etcd.flags["name"] {
				w.own = m.ID
			}
		}
	}
	if w.own != 0 {
		w.add(monitor.Value("etcd/local/member", formatID(w.own)))
	} else if f.etcd.flags["name"] != "" {
		w.add(monitor.Value("etcd/local/member", f.etcd.flags["name"]))
	}
	v := views[f.etcd.clientURL()]
	w.track(monitor.Value("etcd/local/answer", v.answer))
	if v.reason != "" {
		w.add(monitor.Value("etcd/local/error", v.reason))
	}
	if v.answer != answered {
		state, err := processState(w.host, f.etcd)
		w.track(monitor.Value("etcd/local/process-state", state))
		if v.answer == refused || v.answer == hung || v.answer == unreachable {
			return err
		}
	}
	client := browser(config)
	base := f.etcd.metricsURL()
	h, err := checkHealth(ctx, client, base)
	if err == nil {
		w.track(monitor.Value("etcd/local/health", h.Health))
		if h.Reason != "" {
			w.add(monitor.Value("etcd/local/health-reason", h.Reason))
		}
	}
	s, scrapeErr := scrape(ctx, client, base, w.now)
	if scrapeErr == nil {
		w.tellMetrics(s)
	}
	return errors.Join(err, scrapeErr)
}

const (
	// recent is over how long durations are reckoned, and longer over how long changes are counted.
	recent = 5 * time.Minute
	longer = 15 * time.Minute
)

// before is the oldest sample that is not older than a span; nil where there is none.
func (w *watcher) before(span time.Duration) *sample {
	i := slices.IndexFunc(w.samples, func(s *sample) bool { return w.now.Sub(s.at) <= span })
	if i < 0 {
		return nil
	}
	return w.samples[i]
}

func (w *watcher) tellMetrics(s *sample) {
	const started = "process_start_time_seconds"
	if len(w.samples) > 0 && w.samples[0].values[started] != s.values[started] {
		w.samples = nil
	}
	w.samples = slices.DeleteFunc(w.samples, func(old *sample) bool { return w.now.Sub(old.at) > longer })
	window := w.now.Sub(time.Unix(int64(s.values[started]), 0))
	old := w.before(recent)
	if old != nil {
		window = w.now.Sub(old.at)
	}
	w.add(monitor.Float("etcd/metrics/window", window.Seconds()))
	for metric, name := range map[string]string{"etcd_disk_wal_fsync_duration_seconds": "fsync-p99", "etcd_disk_backend_commit_duration_seconds": "commit-p99"} {
		if q, ok := s.p99(metric, old); ok {
			w.add(monitor.Float(snapshot.KeyOf("etcd", "metrics", name), q))
		}
	}
	for name := range s.histograms {
		if peer, ok := strings.CutPrefix(name, "etcd_network_peer_round_trip_time_seconds/"); ok {
			if q, ok := s.p99(name, old); ok {
				w.add(monitor.Float(snapshot.KeyOf("etcd", "metrics", "peer", peer, "rtt-p99"), q))
			}
		}
	}
	for metric, name := range map[string]string{
		"etcd_server_has_leader": "has-leader", "etcd_server_leader_changes_seen_total": "leader-changes", "etcd_server_proposals_pending": "proposals-pending",
		"etcd_server_quota_backend_bytes": "quota", "etcd_debugging_mvcc_compact_revision": "compact-revision", "etcd_debugging_mvcc_current_revision": "revision",
	} {
		if v, ok := s.values[metric]; ok {
			w.add(monitor.Float(snapshot.KeyOf("etcd", "metrics", name), v))
		}
	}
	for metric, name := range map[string]string{
		"etcd_server_leader_changes_seen_total": "leader-changes-lately", "etcd_server_proposals_failed_total": "proposals-failed-lately",
		"etcd_server_slow_apply_total": "slow-applies-lately", "etcd_server_heartbeat_send_failures_total": "heartbeats-late-lately",
	} {
		if n, ok := s.grown(metric, w.before(longer)); ok {
			w.add(monitor.Float(snapshot.KeyOf("etcd", "metrics", name), n))
		}
	}
	w.tellCompaction(s)
	// A sample a minute is enough to look back.
	const apart = 55 * time.Second
	if n := len(w.samples); n == 0 || w.now.Sub(w.samples[n-1].at) >= apart {
		w.samples = append(w.samples, s)
	}
}

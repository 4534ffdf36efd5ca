package etcd

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// defaultClientURL is where etcd listens when nothing says otherwise
// (go.etcd.io/etcd/server/embed/config.go, DefaultListenClientURLs).
const defaultClientURL = "http://127.0.0.1:2379"

// clientURL is where etcd on this machine is best asked: on its own loopback where it listens there.
func (p *program) clientURL() string {
	listening := reachable(p.flags.list("listen-client-urls"))
	if i := slices.IndexFunc(listening, isLoopback); i >= 0 {
		return listening[i]
	}
	if len(listening) > 0 {
		return listening[0]
	}
	if advertised := reachable(p.flags.list("advertise-client-urls")); len(advertised) > 0 {
		return advertised[0]
	}
	return defaultClientURL
}

// metricsURL is where etcd's metrics and health are read: its own listener for them, else the one of
// clients.
func (p *program) metricsURL() string {
	if urls := reachable(p.flags.list("listen-metrics-urls")); len(urls) > 0 {
		return urls[0]
	}
	return p.clientURL()
}

// reachable leaves out URLs that cannot be dialled, such as those with variables of a pod in them, and
// puts loopback in the place of all addresses.
func reachable(urls []string) []string {
	var out []string
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Port() == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(u.Host, "$") {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "" || ip != nil && ip.IsUnspecified() {
			u.Host = net.JoinHostPort("127.0.0.1", u.Port())
		}
		out = append(out, u.Scheme+"://"+u.Host)
	}
	return out
}

func isLoopback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// initialCluster are the members that etcd was started with: peer URLs by name.
func (p *program) initialCluster() map[string][]string {
	out := map[string][]string{}
	for _, pair := range p.flags.list("initial-cluster") {
		if name, peer, ok := strings.Cut(pair, "="); ok {
			out[name] = append(out[name], peer)
		}
	}
	return out
}

// guess is where a member that is known by its peer URL alone is asked: on its machine, at the port and
// by the scheme of this machine's own member.
func (p *program) guess(peer string) string {
	at, err := url.Parse(peer)
	if err != nil {
		return ""
	}
	own, err := url.Parse(p.clientURL())
	if err != nil {
		return ""
	}
	return own.Scheme + "://" + net.JoinHostPort(at.Hostname(), own.Port())
}

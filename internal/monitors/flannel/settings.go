package flannel

import (
	"path"
	"slices"
	"strings"
)

// settings are the flags that a flanneld runs with, by name without dashes.
type settings struct {
	// source is where they were read.
	source string
	flags  map[string]string
	// earlier are values of flags that were given again later: flanneld obeys the last.
	earlier map[string]string
}

// switches are flanneld's flags that take no value (flannel, main.go).
var switches = []string{
	"kube-subnet-mgr", "ip-masq", "iptables-forward-rules", "version", "help", "h", "set-node-network-unavailable", "ip-blackhole-route",
	"logtostderr", "alsologtostderr", "one_output", "add_dir_header", "skip_headers", "skip_log_headers",
}

// repeatable flags keep every value that they are given.
var repeatable = []string{"iface", "iface-regex"}

// told are the flags worth telling. A password is never among them.
var told = []string{
	"etcd-endpoints", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-username",
	"iface", "iface-regex", "iface-can-reach", "ip-masq", "kube-subnet-mgr", "kube-annotation-prefix", "kubeconfig-file", "net-config-path",
	"public-ip", "public-ipv6", "subnet-file", "subnet-lease-renew-margin", "healthz-port",
}

// What flanneld does without being told (flannel, main.go).
var defaults = map[string]string{
	"etcd-endpoints":  "http://127.0.0.1:4001,http://127.0.0.1:2379",
	"etcd-prefix":     "/coreos.com/network",
	"subnet-file":     "/run/flannel/subnet.env",
	"net-config-path": "/etc/kube-flannel/net-conf.json",
}

// environmentPrefix is before the names of environment variables that stand for flags
// (coreos/pkg/flagutil, SetFlagsFromEnv with FLANNELD).
const environmentPrefix = "FLANNELD_"

// settingsOf reads a command line as flanneld's own flag package does, and the environment for what it
// leaves out.
func settingsOf(source string, args []string, environment map[string]string) settings {
	s := settings{source: source, flags: map[string]string{}, earlier: map[string]string{}}
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "-")
		if !ok {
			break // What follows the first word that is no flag is none either.
		}
		name = strings.TrimPrefix(name, "-")
		name, value, given := strings.Cut(name, "=")
		switch {
		case given:
		case slices.Contains(switches, name):
			value = "true"
		case i+1 < len(args):
			i++
			value = args[i]
		}
		s.set(name, value)
	}
	for _, name := range told {
		if _, given := s.flags[name]; given {
			continue
		}
		if value, ok := environment[environmentPrefix+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]; ok {
			s.set(name, value)
		}
	}
	return s
}

func (s settings) set(name, value string) {
	before, given := s.flags[name]
	switch {
	case given && slices.Contains(repeatable, name):
		value = before + "," + value
	case given && before != value:
		s.earlier[name] = before
	}
	s.flags[name] = value
}

// get returns a flag's value, or what flanneld does without it.
func (s settings) get(name string) string {
	if value := s.flags[name]; value != "" {
		return value
	}
	return defaults[name]
}

// inKubernetes tells whether subnets are kept in the API server.
func (s settings) inKubernetes() bool {
	v := s.flags["kube-subnet-mgr"]
	return v == "true" || v == "1" || v == "t"
}

// prefix below which flannel's keys are in etcd.
func (s settings) prefix() string { return path.Join("/", s.get("etcd-prefix")) }

// endpoints of etcd.
func (s settings) endpoints() []string {
	var out []string
	for e := range strings.SplitSeq(s.get("etcd-endpoints"), ",") {
		if e = strings.TrimRight(strings.TrimSpace(e), "/"); e != "" {
			if !strings.Contains(e, "://") {
				e = "http://" + e
			}
			out = append(out, e)
		}
	}
	return out
}

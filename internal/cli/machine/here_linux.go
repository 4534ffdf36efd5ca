package machine

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
	"github.com/maek-dev/maek/internal/monitors/etcd"
)

// here is the machine on which this runs.
type here struct {
	id monitor.Identity
	// os and kernel as people know them.
	os, kernel string
	// root tells whether this process may read what only root may.
	root bool
}

// lookHere finds out which machine this is.
func lookHere(root string) (here, error) {
	name, err := os.Hostname()
	if err != nil {
		return here{}, fmt.Errorf("asking for the host's name: %w", err)
	}
	h := here{id: monitor.Identity{Machine: name, Node: nodeName(root, name)}, root: os.Geteuid() == 0}
	h.os = prettyName(readSome(root, "etc/os-release"))
	if h.os == "" {
		h.os = prettyName(readSome(root, "usr/lib/os-release"))
	}
	h.kernel = strings.TrimSpace(readSome(root, "proc/sys/kernel/osrelease"))
	return h, nil
}

// maxSome bounds the small files that tell what machine this is, in bytes.
const maxSome = 64 << 10

func readSome(root, name string) string {
	info, err := os.Stat(filepath.Join(root, name))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxSome {
		return ""
	}
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(data), "�")
}

// prettyName is what os-release(5) has for people.
func prettyName(text string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}

// nodeName is the name under which the kubelet joined, as its client certificate says
// (https://kubernetes.io/docs/reference/access-authn-authz/node/); else the host's own, in lower case,
// which is the kubelet's default.
func nodeName(root, host string) string {
	rest := []byte(readSome(root, "var/lib/kubelet/pki/kubelet-client-current.pem"))
	for len(rest) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			if name, ok := strings.CutPrefix(c.Subject.CommonName, "system:node:"); ok && name != "" {
				return name
			}
		}
	}
	return strings.ToLower(host)
}

// watched are the monitors of the machine; with hash, the one of etcd compares the members' keys.
func (h here) watched(root string, now func() time.Time, hash bool) []monitor.Monitor {
	host := monitor.Host{Root: root, Node: h.id.Node, Now: now}
	all := monitors.All(host)
	if hash {
		hashing := etcd.New(host, etcd.WithHash())
		all[slices.IndexFunc(all, func(m monitor.Monitor) bool { return m.Name == hashing.Name })] = hashing
	}
	return all
}

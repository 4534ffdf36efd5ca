// Package certificates watches the certificates that Kubernetes' programs keep on the machine, and
// those that its servers present. It tells what certificates say of themselves, and of keys nothing but
// who may read them.
package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// New makes the monitor of a host's certificates.
func New(host monitor.Host) monitor.Monitor {
	return newWith(host, map[string]string{
		"6443": "127.0.0.1:6443", "10250": "127.0.0.1:10250", "10257": "127.0.0.1:10257", "10259": "127.0.0.1:10259", "2379": "127.0.0.1:2379",
	})
}

func newWith(host monitor.Host, servers map[string]string) monitor.Monitor {
	w := &watch{host: host, servers: servers, files: map[string]cached{}}
	return monitor.Monitor{
		Name: "certificates", Doc: "Certificates in the folders of kubeadm, kubespray, k3s, RKE2, etcd and the kubelet, in kubeconfigs, and those that servers present on loopback.",
		Keys: []monitor.Key{
			{Pattern: "certificate/*/subject", Doc: "Whom the certificate in a file names; of a chain the first, of several authorities the one that ends last."},
			{Pattern: "certificate/*/issuer", Doc: "Who signed it."},
			{Pattern: "certificate/*/names", Doc: "Host names and addresses it is good for, separated by commas; absent where there are none."},
			{Pattern: "certificate/*/serial", Doc: "Its serial number, hexadecimal."},
			{Pattern: "certificate/*/not-before", Doc: "RFC 3339: from when it is good."},
			{Pattern: "certificate/*/not-after", Doc: "RFC 3339: until when it is good."},
			{Pattern: "certificate/*/authority", Doc: "Whether it may sign others."},
			{Pattern: "certificate/*/self-signed", Doc: "Whether it has signed itself."},
			{Pattern: "certificate/*/modified", Doc: "RFC 3339: when the file was last written."},
			{Pattern: "certificate/*/key-mode", Doc: "Permissions of the file with its key, octal; absent where that is not beside it."},
			{Pattern: "certificate/*/error", Doc: "Why no certificate can be read from a file that should hold one."},
			{Pattern: "certificate/served/*/*", Doc: "What the server at a local port (6443, 10250, 10257, 10259, 2379) presents: subject, issuer, names, serial, not-before, not-after. Absent where nothing listens there."},
		},
		Requires: []monitor.Privilege{monitor.HostFiles},
		Interval: time.Minute, Timeout: 2 * handshakeTimeout,
		Observe: w.observe,
	}
}

// watch remembers what was read, so that only files that changed are read again, and when servers were
// last asked.
type watch struct {
	host    monitor.Host
	servers map[string]string
	files   map[string]cached
	asked   time.Time
	served  []snapshot.MachineEvidence
}

// cached is what was read from a file that has not changed since.
type cached struct {
	modified time.Time
	size     int64
	evidence []snapshot.MachineEvidence
}

// serversEvery is how often servers are asked: what they present changes when they are restarted.
const serversEvery = 10 * time.Minute

func (w *watch) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	var out []snapshot.MachineEvidence
	var gaps []error
	present := map[string]cached{}
	names, err := w.find()
	if err != nil {
		gaps = append(gaps, err)
	}
	changed := false
	for _, name := range names {
		c, fresh, err := w.read(name)
		if err != nil {
			gaps = append(gaps, err)
			continue
		}
		changed = changed || fresh
		present[name] = c
		out = append(out, c.evidence...)
	}
	w.files = present
	if now := w.host.Now(); changed || now.Sub(w.asked) >= serversEvery {
		w.served, w.asked = w.present(ctx), now
	}
	return append(out, w.served...), errors.Join(gaps...)
}

// read reads one file, or remembers it; fresh tells that it is new or has changed.
func (w *watch) read(name string) (c cached, fresh bool, err error) {
	reached, err := w.host.Path(name)
	if err != nil {
		return cached{}, false, err
	}
	info, err := os.Stat(reached)
	if errors.Is(err, os.ErrNotExist) {
		return cached{}, false, nil
	}
	if err != nil {
		return cached{}, false, fmt.Errorf("reading a certificate: %w", err)
	}
	if before, ok := w.files[name]; ok && before.modified.Equal(info.ModTime()) && before.size == info.Size() {
		return before, false, nil
	}
	data, err := w.host.ReadFile(name, fileLimit)
	if err != nil {
		return cached{}, false, fmt.Errorf("reading a certificate: %w", err)
	}
	c = cached{modified: info.ModTime(), size: info.Size()}
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("certificate", name, word) }
	read, found, err := parse(name, data)
	if err != nil {
		c.evidence = []snapshot.MachineEvidence{monitor.Value(key("error"), err.Error()), monitor.Moment(key("modified"), info.ModTime())}
		return c, true, nil
	}
	if !found {
		return c, false, nil
	}
	c.evidence = append(describe(read, key),
		monitor.Bool(key("authority"), read.IsCA), monitor.Bool(key("self-signed"), read.CheckSignature(read.SignatureAlgorithm, read.RawTBSCertificate, read.Signature) == nil),
		monitor.Moment(key("modified"), info.ModTime()))
	if mode, ok := w.keyMode(name, data); ok {
		c.evidence = append(c.evidence, monitor.Value(key("key-mode"), mode))
	}
	return c, true, nil
}

// describe tells what a certificate says of itself.
func describe(c *x509.Certificate, key func(string) snapshot.EvidenceKey) []snapshot.MachineEvidence {
	out := []snapshot.MachineEvidence{
		monitor.Value(key("subject"), c.Subject.String()), monitor.Value(key("issuer"), c.Issuer.String()),
		monitor.Value(key("serial"), c.SerialNumber.Text(16)),
		monitor.Moment(key("not-before"), c.NotBefore), monitor.Moment(key("not-after"), c.NotAfter),
	}
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 0 {
		out = append(out, monitor.Value(key("names"), strings.Join(names, ",")))
	}
	return out
}

// keyMode is the permissions of the file that holds the key of a certificate: the file itself, or one
// of the same name beside it.
func (w *watch) keyMode(name string, data []byte) (string, bool) {
	file := name
	if !strings.Contains(string(data), "PRIVATE KEY-----") && !isKubeconfig(name) {
		base := strings.TrimSuffix(name, path.Ext(name))
		file = base + ".key"
		if path.Ext(name) == ".pem" {
			file = base + "-key.pem"
		}
	}
	reached, err := w.host.Path(file)
	if err != nil {
		return "", false
	}
	info, err := os.Stat(reached)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("%04o", info.Mode().Perm()), true
}

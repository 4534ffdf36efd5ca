package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// pair is a client certificate with its key.
type pair struct{ cert, key string }

// credentials makes the TLS configuration with which etcd is asked. Certificates rotate, so that it is
// made for each look. The server's name is the dialler's to fill in.
func credentials(host monitor.Host, f found) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}
	var errs []error
	for _, name := range authorities(f) {
		data, err := host.ReadFile(name, smallFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the certificate authority of etcd: %w", err))
			continue
		}
		if config.RootCAs == nil {
			config.RootCAs = x509.NewCertPool()
		}
		if !config.RootCAs.AppendCertsFromPEM(data) {
			errs = append(errs, fmt.Errorf("reading the certificate authority of etcd: %s holds no certificate", name))
		}
	}
	for _, p := range clientPairs(host, f) {
		cert, err := loadPair(host, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the client certificate %s for etcd: %w", p.cert, err))
			continue
		}
		config.Certificates = []tls.Certificate{cert}
		return config, nil
	}
	return config, errors.Join(errs...)
}

func loadPair(host monitor.Host, p pair) (tls.Certificate, error) {
	cert, err := host.ReadFile(p.cert, smallFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := host.ReadFile(p.key, smallFile)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// authorities are the files that say by whom members' certificates are signed.
func authorities(f found) []string {
	var out []string
	if f.etcd != nil && f.etcd.flags["trusted-ca-file"] != "" {
		out = append(out, f.etcd.flags["trusted-ca-file"])
	}
	if f.server != nil && f.server.flags["etcd-cafile"] != "" {
		out = append(out, f.server.flags["etcd-cafile"])
	}
	return out
}

// clientPairs are the client certificates that a machine may have, the least mighty first: kubeadm makes
// one for probes (k8s.io/kubernetes/cmd/kubeadm/app/phases/certs/certlist.go, KubeadmCertEtcdHealthcheck),
// then kube-apiserver's, those of k3s and RKE2, and Kubespray's. A member's own pair comes last: it
// serves where it may be a client too.
func clientPairs(host monitor.Host, f found) []pair {
	var out []pair
	if f.etcd != nil {
		if ca := f.etcd.flags["trusted-ca-file"]; ca != "" {
			folder := path.Dir(ca)
			out = append(out, pair{path.Join(folder, "healthcheck-client.crt"), path.Join(folder, "healthcheck-client.key")})
			if path.Base(ca) == "server-ca.crt" {
				out = append(out, pair{path.Join(folder, "client.crt"), path.Join(folder, "client.key")})
			}
			if entries, err := host.ReadDir(folder); err == nil {
				for _, e := range entries {
					if base, ok := strings.CutSuffix(e.Name(), "-key.pem"); ok && strings.HasPrefix(base, "admin-") {
						out = append(out, pair{path.Join(folder, base+".pem"), path.Join(folder, e.Name())})
					}
				}
			}
		}
	}
	if f.server != nil && f.server.flags["etcd-certfile"] != "" {
		out = append(out, pair{f.server.flags["etcd-certfile"], f.server.flags["etcd-keyfile"]})
	}
	if f.etcd != nil && f.etcd.flags["cert-file"] != "" {
		out = append(out, pair{f.etcd.flags["cert-file"], f.etcd.flags["key-file"]})
	}
	return out
}

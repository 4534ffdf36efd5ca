package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	// fileLimit bounds one file: bundles of authorities are the largest.
	fileLimit = 256 << 10
	// filesLimit bounds how many files are watched.
	filesLimit = 500
	// depth bounds how far below a folder is looked.
	depth = 3
)

// folders are where installers of Kubernetes put certificates and kubeconfigs.
var folders = []string{
	"/etc/kubernetes",            // kubeadm, and ssl below it kubespray
	"/var/lib/kubelet/pki",       // the kubelet's own
	"/etc/etcd",                  // etcd from packages and by hand
	"/etc/ssl/etcd",              // kubespray
	"/var/lib/rancher/k3s/agent", // k3s
	"/var/lib/rancher/k3s/server/tls",
	"/var/lib/rancher/rke2/agent", // RKE2
	"/var/lib/rancher/rke2/server/tls",
	"/var/lib/k0s/pki",                 // k0s
	"/var/lib/minikube/certs",          // minikube
	"/var/snap/microk8s/current/certs", // MicroK8s
}

// passedOver are folders below these that hold other things: manifests, the runtime's data.
var passedOver = []string{"manifests", "containerd", "etc", "images", "pod-manifests", "tmp", "patches", "addons"}

// rotated are the files of the kubelet's earlier certificates; the present one is a link to one of them
// (k8s.io/client-go/util/certificate/certificate_store.go).
var rotated = regexp.MustCompile(`^kubelet-(?:client|server)-\d{4}-`)

// find lists the files that may hold certificates.
func (w *watch) find() ([]string, error) {
	var out []string
	var gaps []error
	for _, f := range folders {
		if err := w.within(f, depth, &out); err != nil {
			gaps = append(gaps, err)
		}
	}
	if len(out) > filesLimit {
		gaps = append(gaps, fmt.Errorf("looking for certificates: there are %d files, and only the first %d are read", len(out), filesLimit))
		out = out[:filesLimit]
	}
	return out, errors.Join(gaps...)
}

func (w *watch) within(folder string, below int, out *[]string) error {
	entries, err := w.host.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for certificates: %w", err)
	}
	var gaps []error
	for _, e := range entries {
		name := path.Join(folder, e.Name())
		switch {
		case e.IsDir() && below > 1 && !slices.Contains(passedOver, e.Name()):
			if err := w.within(name, below-1, out); err != nil {
				gaps = append(gaps, err)
			}
		case e.IsDir() || rotated.MatchString(e.Name()) || strings.HasSuffix(e.Name(), "-key.pem"):
		case slices.Contains([]string{".crt", ".pem", ".cert", ".conf", ".kubeconfig"}, path.Ext(e.Name())):
			*out = append(*out, name)
		}
	}
	return errors.Join(gaps...)
}

func isKubeconfig(name string) bool {
	return path.Ext(name) == ".conf" || path.Ext(name) == ".kubeconfig"
}

// parse reads the certificate of a file; false where the file need not hold one, as a kubeconfig with a
// token, or a configuration of something else.
func parse(name string, data []byte) (*x509.Certificate, bool, error) {
	if isKubeconfig(name) {
		embedded, ok := ofKubeconfig(data)
		if !ok {
			return nil, false, nil
		}
		data = embedded
	}
	all, err := certificatesIn(data)
	if err != nil {
		return nil, false, err
	}
	if len(all) == 0 {
		// A .pem may hold a key, or parameters, alone.
		if path.Ext(name) == ".pem" && strings.Contains(string(data), "-----BEGIN ") {
			return nil, false, nil
		}
		return nil, false, errors.New("it holds no certificate")
	}
	if !all[0].IsCA {
		return all[0], true, nil
	}
	return slices.MaxFunc(all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }), true, nil
}

// certificatesIn reads the certificates of a PEM text.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing a certificate: %w", err)
		}
		out = append(out, c)
	}
}

// ofKubeconfig is the client certificate that a kubeconfig carries for the user of its current context,
// or for its only one.
func ofKubeconfig(data []byte) ([]byte, bool) {
	var config struct {
		Kind           string `json:"kind"`
		CurrentContext string `json:"current-context"`
		Contexts       []struct {
			Name    string `json:"name"`
			Context struct {
				User string `json:"user"`
			} `json:"context"`
		} `json:"contexts"`
		Users []struct {
			Name string `json:"name"`
			User struct {
				Certificate []byte `json:"client-certificate-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil || config.Kind != "Config" {
		return nil, false
	}
	user := ""
	for _, c := range config.Contexts {
		if c.Name == config.CurrentContext {
			user = c.Context.User
		}
	}
	for _, u := range config.Users {
		if (u.Name == user || len(config.Users) == 1) && len(u.User.Certificate) > 0 {
			return u.User.Certificate, true
		}
	}
	return nil, false
}

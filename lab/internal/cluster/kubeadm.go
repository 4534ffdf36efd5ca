package cluster

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"text/template"

	"github.com/maek-dev/maek/lab/internal/component"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/node"
)

//go:embed files
var files embed.FS

// kubeadmConfigPath is where a machine has its kubeadm configuration.
const kubeadmConfigPath = "/etc/kubernetes/kubeadm.yaml"

// kubeadmConfig is what kubeadm is told about one machine.
type kubeadmConfig struct {
	Description
	machine.Spec
	CgroupDriver     string
	CanLowerOOMScore bool
	// Authority is the certificate of the cluster's authority, in PEM; empty for the first machine, which makes it.
	Authority []byte
}

// KubernetesVersion is the version of the cluster.
func (kubeadmConfig) KubernetesVersion() string { return component.KubernetesVersion }

// PodCIDR is where pods have their addresses.
func (kubeadmConfig) PodCIDR() string { return node.PodCIDR }

// ServiceCIDR is where Services have their addresses.
func (kubeadmConfig) ServiceCIDR() string { return "10.96.0.0/16" }

// IgnoredPreflightErrors are the checks of kubeadm that a machine fails which shares its kernel, memory and swap with the
// host.
func (kubeadmConfig) IgnoredPreflightErrors() []string {
	return []string{
		"SystemVerification", "Swap", "Mem", "NumCPU", "Hostname", "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables",
	}
}

// DiscoveryPath is where a joining machine has what it trusts the cluster by.
func (kubeadmConfig) DiscoveryPath() string { return "/etc/kubernetes/discovery.conf" }

// AuthorityBase64 is the certificate as a kubeconfig holds it.
func (c kubeadmConfig) AuthorityBase64() string {
	return base64.StdEncoding.EncodeToString(c.Authority)
}

// render returns the files that kubeadm needs on the machine, by path.
func (c kubeadmConfig) render() (map[string][]byte, error) {
	templates := map[string]string{kubeadmConfigPath: "init.yaml"}
	if len(c.Authority) > 0 {
		templates = map[string]string{kubeadmConfigPath: "join.yaml", c.DiscoveryPath(): "discovery.yaml"}
	}
	rendered := make(map[string][]byte, len(templates))
	for path, name := range templates {
		content, err := fill(name, c)
		if err != nil {
			return nil, err
		}
		rendered[path] = content
	}
	return rendered, nil
}

func fill(name string, data any) ([]byte, error) {
	templates, err := template.ParseFS(files, "files/*")
	if err != nil {
		return nil, fmt.Errorf("reading the templates of the cluster: %w", err)
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("filling in %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// newToken returns a random bootstrap token: six and sixteen of the characters a-z0-9, see
// https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/#token-format.
func newToken() string {
	random := make([]byte, 11)
	_, _ = rand.Read(random) // never fails, see crypto/rand
	text := hex.EncodeToString(random)
	return text[:6] + "." + text[6:22]
}

// newCertificateKey returns a random AES key of 32 bytes in hexadecimal, as `kubeadm certs certificate-key` does.
func newCertificateKey() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, see crypto/rand
	return hex.EncodeToString(random)
}

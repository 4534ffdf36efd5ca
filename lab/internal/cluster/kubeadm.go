package cluster

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
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
	// CAHash is that of the cluster's certificate authority; empty for the first machine.
	CAHash string
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

func (c kubeadmConfig) render() ([]byte, error) {
	name := "init.yaml"
	if c.CAHash != "" {
		name = "join.yaml"
	}
	return fill(name, c)
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

// certificateHash returns the hash by which a joining node recognises the cluster's certificate authority: SHA-256 of the
// public key, see https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-join/#token-based-discovery-with-ca-pinning.
func certificateHash(encoded []byte) (string, error) {
	block, _ := pem.Decode(encoded)
	if block == nil {
		return "", errors.New("reading the certificate authority: it is not PEM")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("reading the certificate authority: %w", err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

package kubelet

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// defaultKubeconfig is where kubeadm has the kubelet's kubeconfig
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, KubeletKubeConfigFileName).
const defaultKubeconfig = "/etc/kubernetes/kubelet.conf"

// client is how the kubelet goes to the API server.
type client struct {
	server string
	tls    *tls.Config
}

// client reads the kubelet's kubeconfig and certificate.
func (w *watcher) client() (client, []snapshot.MachineEvidence) {
	name := w.flag("kubeconfig", defaultKubeconfig)
	data, err := w.host.ReadFile(name, fileLimit)
	if errors.Is(err, fs.ErrNotExist) && len(w.argv) == 0 {
		return client{}, nil
	}
	out := []snapshot.MachineEvidence{monitor.Value("kubelet/kubeconfig/path", name)}
	broken := func(err error) (client, []snapshot.MachineEvidence) {
		return client{}, append(out, monitor.Value("kubelet/kubeconfig/error", err.Error()))
	}
	if err != nil {
		return broken(err)
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return broken(err)
	}
	context := config.Contexts[config.CurrentContext]
	if context == nil || config.Clusters[context.Cluster] == nil {
		return broken(fmt.Errorf("its current context %q names no cluster", config.CurrentContext))
	}
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	c := client{server: cluster.Server, tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cluster.TLSServerName}}
	out = append(out, monitor.Value("kubelet/api-server/url", cluster.Server))
	authority := cluster.CertificateAuthorityData
	if len(authority) == 0 && cluster.CertificateAuthority != "" {
		authority, err = w.host.ReadFile(beside(name, cluster.CertificateAuthority), fileLimit)
		if err != nil {
			out = append(out, monitor.Value("kubelet/kubeconfig/error", err.Error()))
		}
	}
	if len(authority) > 0 {
		c.tls.RootCAs = x509.NewCertPool()
		c.tls.RootCAs.AppendCertsFromPEM(authority)
	}
	if user != nil {
		certificate, more := w.certificate(name, user)
		out = append(out, more...)
		if certificate != nil {
			c.tls.Certificates = []tls.Certificate{*certificate}
		}
	}
	return c, out
}

// beside is a path as a kubeconfig means it: relative ones from its own folder.
func beside(kubeconfig, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(path.Dir(kubeconfig), name)
}

// certificate reads the kubelet's client certificate, and its key where it is there.
func (w *watcher) certificate(kubeconfig string, user *clientcmdapi.AuthInfo) (*tls.Certificate, []snapshot.MachineEvidence) {
	source, data, key := kubeconfig, user.ClientCertificateData, user.ClientKeyData
	var err error
	if len(data) == 0 && user.ClientCertificate != "" {
		source = beside(kubeconfig, user.ClientCertificate)
		data, err = w.host.ReadFile(source, fileLimit)
	}
	if len(data) == 0 && err == nil {
		return nil, nil // It presents itself by a token or a program, as cloud providers' kubelets do.
	}
	out := []snapshot.MachineEvidence{monitor.Value("kubelet/client-certificate/path", source)}
	if err != nil {
		return nil, append(out, monitor.Value("kubelet/client-certificate/error", err.Error()))
	}
	leaf, err := firstCertificate(data)
	if err != nil {
		return nil, append(out, monitor.Value("kubelet/client-certificate/error", err.Error()))
	}
	out = append(out,
		monitor.Value("kubelet/client-certificate/subject", leaf.Subject.String()),
		monitor.Moment("kubelet/client-certificate/not-before", leaf.NotBefore),
		monitor.Moment("kubelet/client-certificate/not-after", leaf.NotAfter))
	if len(key) == 0 && user.ClientKey != "" {
		key, err = w.host.ReadFile(beside(kubeconfig, user.ClientKey), fileLimit)
		if err != nil {
			return nil, append(out, monitor.Value("kubelet/client-certificate/error", err.Error()))
		}
	}
	pair, err := tls.X509KeyPair(data, key)
	if err != nil {
		return nil, append(out, monitor.Value("kubelet/client-certificate/error", err.Error()))
	}
	return &pair, out
}

func firstCertificate(data []byte) (*x509.Certificate, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
	}
	return nil, errors.New("the file holds no certificate")
}

package agent

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/agent/mesh"
	"github.com/maek-dev/maek/internal/monitor"
)

// join makes this agent's part of the mesh.
func (a *agent) join(host monitor.Host) error {
	boot, err := host.ReadFile("/proc/sys/kernel/random/boot_id", 64)
	if err != nil {
		a.o.Log.Warn("the machine's boot has no name", "error", err)
	}
	domain := clusterDomain(host)
	roots := a.roots()
	a.mesh, err = mesh.New(mesh.Options{
		Source: a.view, Client: a.clients.For, Now: a.o.Clock.Now, Log: a.o.Log, Store: host.Store,
		Boot: strings.TrimSpace(string(boot)), Port: int(a.o.Port),
		Targets: func() mesh.Targets {
			return mesh.Targets{ClusterDomain: domain, DNS: a.targets("kube-dns"), API: a.targets("kubernetes"), Roots: roots}
		},
	})
	if err != nil {
		return fmt.Errorf("joining the mesh: %w", err)
	}
	return nil
}

// targets are a Service's own address and its endpoints.
func (a *agent) targets(service string) []mesh.Target {
	var out []mesh.Target
	if s, ok := a.view.Service(service); ok && len(s.Ports) > 0 {
		_, number, _ := strings.Cut(s.Ports[0], "/")
		if port, err := strconv.ParseUint(number, 10, 16); err == nil {
			for _, address := range s.Addresses {
				out = append(out, mesh.Target{Address: netip.AddrPortFrom(address, uint16(port)), Service: true})
			}
		}
	}
	for _, e := range a.view.Endpoints(service) {
		out = append(out, mesh.Target{Address: e.At, Node: e.Node})
	}
	return out
}

// roots are the authorities that sign the API server's certificate; nil where none are known.
func (a *agent) roots() *x509.CertPool {
	if a.o.Config == nil {
		return nil
	}
	data := a.o.Config.CAData
	if len(data) == 0 && a.o.Config.CAFile != "" {
		var err error
		if data, err = os.ReadFile(a.o.Config.CAFile); err != nil {
			a.o.Log.Warn("API servers are not asked from here", "error", err)
			return nil
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil
	}
	return pool
}

const (
	// kubeletConfig is where kubeadm puts the kubelet's configuration
	// (kubernetes/cmd/kubeadm/app/constants/constants.go).
	kubeletConfig = "/var/lib/kubelet/config.yaml"
	// maxKubeletConfig in bytes.
	maxKubeletConfig = 1 << 20
	// defaultDomain is what clusters have that say nothing else.
	defaultDomain = "cluster.local"
)

// clusterDomain is the domain that the kubelet gives to pods.
func clusterDomain(host monitor.Host) string {
	var config struct {
		ClusterDomain string `json:"clusterDomain"`
	}
	data, err := host.ReadFile(kubeletConfig, maxKubeletConfig)
	if err != nil || yaml.Unmarshal(data, &config) != nil || config.ClusterDomain == "" {
		return defaultDomain
	}
	return config.ClusterDomain
}

package kubelet

import (
	"cmp"

	"github.com/maek-dev/maek/internal/monitor"
)

// defaultManifests is where kubeadm has the manifests of static pods
// (k8s.io/kubernetes/cmd/kubeadm/app/constants, ManifestsSubDirName).
const defaultManifests = "/etc/kubernetes/manifests"

// StaticPodPath returns a function that tells from which folder the machine's kubelet runs static pods:
// the one its configuration names; kubeadm's where that cannot be read; none where it names none.
func StaticPodPath(host monitor.Host) func() string {
	w := &watcher{host: host}
	return func() string {
		w.find()
		s, evidence, err := w.config()
		if err == nil && s.Kind != "" {
			return s.StaticPodPath
		}
		for _, e := range evidence {
			if e.Key == "kubelet/config/error" {
				return defaultManifests
			}
		}
		return cmp.Or(w.flag("pod-manifest-path", ""), defaultManifests)
	}
}

// defaultResolvConf is the file whose servers the kubelet gives pods, unless it is told another
// (k8s.io/kubernetes/pkg/kubelet/apis/config/v1beta1, SetDefaults_KubeletConfiguration).
const defaultResolvConf = "/etc/resolv.conf"

// ResolvConf returns a function that tells from which file the machine's kubelet takes the servers of names
// for pods that use those of their node, as cluster DNS itself does: the one its configuration names, the
// kubelet's default where that cannot be read; none where it is told to take none, and where no kubelet of its own
// runs: k3s chooses the file by rules of its own.
func ResolvConf(host monitor.Host) func() string {
	w := &watcher{host: host}
	return func() string {
		w.find()
		s, evidence, err := w.config()
		switch {
		case err == nil && s.ResolverConfig != nil:
			return *s.ResolverConfig
		case err == nil && len(evidence) == 0 && len(w.argv) == 0:
			return ""
		}
		return w.flag("resolv-conf", defaultResolvConf)
	}
}

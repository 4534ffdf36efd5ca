package image

import (
	"strings"

	"github.com/maek-dev/maek/lab/internal/component"
)

// Names of the registries inside the lab, as images are called by them.
const (
	// OpenRegistry serves everybody.
	OpenRegistry = "registry.lab:5000"
	// PrivateRegistry serves who knows the password.
	PrivateRegistry = "registry.lab:5001"
)

// kubeadmRegistry is kubeadm's default image repository; kubeadm asks for the
// images of the control plane under this name.
const kubeadmRegistry = "registry.k8s.io"

// PauseImage is the image of every pod's sandbox: the one that kubeadm of the
// pinned Kubernetes names (PauseVersion in cmd/kubeadm/app/constants/constants.go).
const PauseImage = kubeadmRegistry + "/pause:3.10.2"

// etcdImageTag is DefaultEtcdVersion in the same file.
const etcdImageTag = "3.6.8-0"

// ShopVersions are the good versions of the application shop, oldest first. They
// differ in what they call themselves only.
func ShopVersions() []string { return []string{"1.0.0", "1.0.1"} }

// Finder says where a built program is; [component.Cache] is one.
type Finder interface {
	Path(program string) (string, error)
}

// builder makes specs from programs of the cache and keeps the first error.
type builder struct {
	programs Finder
	err      error
}

func (b *builder) paths(programs ...string) []string {
	found := make([]string, 0, len(programs))
	for _, program := range programs {
		path, err := b.programs.Path(program)
		if err != nil && b.err == nil {
			b.err = err
		}
		found = append(found, path)
	}
	return found
}

// ControlPlane returns the images that a control-plane machine needs beside those
// of [Machine], named as "kubeadm config images list" names them.
func ControlPlane(programs Finder) ([]Spec, error) {
	b := &builder{programs: programs}
	var specs []Spec
	for _, program := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		specs = append(specs, Spec{
			Reference:  kubeadmRegistry + "/" + program + ":" + component.KubernetesVersion,
			Programs:   b.paths(program),
			Entrypoint: []string{program},
		})
	}
	specs = append(specs, Spec{
		Reference:  kubeadmRegistry + "/etcd:" + etcdImageTag,
		Programs:   b.paths("etcd", "etcdctl", "etcdutl"),
		Entrypoint: []string{"etcd"},
	})
	return specs, b.err
}

// Machine returns the images that every machine needs before it can reach the
// lab's registry: those that pods of the cluster's own network need.
func Machine(programs Finder) ([]Spec, error) {
	b := &builder{programs: programs}
	return []Spec{
		{
			Reference:  PauseImage,
			Programs:   b.paths("pause"),
			Entrypoint: []string{"pause"},
			User:       NonRoot,
		},
		{
			Reference: kubeadmRegistry + "/coredns/coredns:" + component.CoreDNSVersion,
			Programs:  b.paths("coredns"),
			// Root, because kubeadm's manifest adds NET_BIND_SERVICE for port 53 and a
			// capability that is added reaches root only.
			Entrypoint: []string{"coredns"},
		},
	}, b.err
}

// Registry returns the images that the lab's registries serve.
func Registry(programs Finder) ([]Spec, error) {
	b := &builder{programs: programs}
	specs := []Spec{
		{
			Reference:  OpenRegistry + "/metrics-server:" + component.MetricsServerVersion,
			Programs:   b.paths("metrics-server"),
			Entrypoint: []string{"metrics-server"},
			User:       NonRoot,
		},
		{
			Reference: OpenRegistry + "/provisioner:1.0.0",
			Programs:  b.paths("provisioner"),
			// Root, because it makes folders on the machine.
			Entrypoint: []string{"provisioner"},
		},
	}
	// Each tier has a repository of its own, so that one can be broken and the
	// others left alone. The private registry has a copy of each.
	for _, registry := range []string{OpenRegistry, PrivateRegistry} {
		for _, tier := range []string{"front", "api", "db", "report"} {
			for _, version := range ShopVersions() {
				specs = append(specs, Spec{
					Reference:  registry + "/shop/" + tier + ":" + version,
					Programs:   b.paths("shop"),
					Entrypoint: []string{"shop", tier},
					User:       NonRoot,
					Env:        []string{"SHOP_VERSION=" + version},
				})
			}
		}
	}
	return specs, b.err
}

// Repository returns the part of a reference behind the registry's name, which is
// how the registry itself knows the image: "shop/api:1.0.0".
func Repository(reference string) string {
	_, repository, _ := strings.Cut(reference, "/")
	return repository
}

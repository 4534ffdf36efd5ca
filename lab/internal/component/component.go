// Package component builds the programs that a lab cluster is made of and keeps
// them in a cache outside the checkout.
//
// Every component is pinned by a module file of its own under lab/components,
// so a fresh clone and a module proxy are all that a build needs. What is built
// depends on nothing but that file and the flags in this package; the cache key
// is made of the two.
package component

import (
	"fmt"
	"slices"
	"strings"
)

// Component is a set of programs that come from one pinned module.
type Component struct {
	// Name is the component's folder under lab/components.
	Name string
	// Version is the release of Module. It equals the one in the folder's go.mod.
	Version string
	// Module is the path of the module that Version is a release of. It is empty
	// for the lab's own programs, which have no release: the hash of their source
	// is in the cache key in its place.
	Module string
	// Programs are the commands built from the module.
	Programs []Program

	// tags are the build tags.
	tags []string
	// stamps are linker settings "package.variable=value": what an upstream
	// release build sets.
	stamps []string
	// cgo says that a program needs a C compiler. It is then linked statically.
	cgo bool
}

// Program is one command of a component.
type Program struct {
	// Name is the name of the file in the cache.
	Name string
	// Package is the import path of its package main.
	Package string
}

// String returns the component as people name it: "etcd v3.6.8".
func (c Component) String() string {
	if c.Version == "" {
		return c.Name
	}
	return c.Name + " " + c.Version
}

// Versions of the parts. Those of etcd, CoreDNS and pause are the ones that
// kubeadm of [KubernetesVersion] names in its image list
// (cmd/kubeadm/app/constants/constants.go).
const (
	KubernetesVersion    = "v1.36.3"
	EtcdVersion          = "v3.6.8"
	CoreDNSVersion       = "v1.14.2"
	ContainerdVersion    = "v2.2.1"
	FlannelVersion       = "v0.26.7"
	MetricsServerVersion = "v0.9.0"
	CRIToolsVersion      = "v1.36.0"
)

// labModule is the module that this package is part of.
const labModule = "github.com/maek-dev/maek/lab"

// labSources returns the folders of the lab's module that its own programs are
// built from.
func labSources() []string {
	return []string{
		"cmd/pause", "cmd/provisioner", "cmd/shop", "cmd/switchd",
		"internal/registry", "internal/sharedvolume", "internal/shop", "internal/switchd",
	}
}

// All returns every component, those that others wait for first.
func All() []Component {
	return []Component{
		{
			Name: "etcd", Version: EtcdVersion, Module: "go.etcd.io/etcd/server/v3",
			Programs: []Program{
				{"etcd", "go.etcd.io/etcd/server/v3"},
				{"etcdctl", "go.etcd.io/etcd/etcdctl/v3"},
				{"etcdutl", "go.etcd.io/etcd/etcdutl/v3"},
			},
		},
		{
			Name: "kubernetes", Version: KubernetesVersion, Module: "k8s.io/kubernetes",
			Programs: []Program{
				{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
				{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
				{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
				{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
				{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
				{"kubeadm", "k8s.io/kubernetes/cmd/kubeadm"},
				{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
			},
			// hack/lib/version.sh of the same release. Without them kubeadm takes
			// itself for v0.0.0 and refuses to go on.
			stamps: kubernetesStamps(KubernetesVersion),
		},
		{
			Name: "containerd", Version: ContainerdVersion, Module: "github.com/containerd/containerd/v2",
			Programs: []Program{
				{"containerd", "github.com/containerd/containerd/v2/cmd/containerd"},
				{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
				{"ctr", "github.com/containerd/containerd/v2/cmd/ctr"},
			},
			// These snapshotters need C libraries or kernel parts that the lab does
			// not use.
			tags: []string{"no_btrfs", "no_devmapper", "no_zfs"},
			stamps: []string{
				"github.com/containerd/containerd/v2/version.Version=" + ContainerdVersion,
				"github.com/containerd/containerd/v2/version.Package=github.com/containerd/containerd/v2",
			},
		},
		{
			Name: "cri-tools", Version: CRIToolsVersion, Module: "sigs.k8s.io/cri-tools",
			Programs: []Program{{"crictl", "sigs.k8s.io/cri-tools/cmd/crictl"}},
			stamps:   []string{"sigs.k8s.io/cri-tools/pkg/version.Version=" + CRIToolsVersion},
		},
		{
			Name: "flannel", Version: FlannelVersion, Module: "github.com/flannel-io/flannel",
			Programs: []Program{{"flanneld", "github.com/flannel-io/flannel"}},
			stamps:   []string{"github.com/flannel-io/flannel/pkg/version.Version=" + FlannelVersion},
			// Its udp backend is C on amd64 and cannot be left out by a tag.
			cgo: true,
		},
		{
			Name: "coredns", Version: CoreDNSVersion, Module: "github.com/coredns/coredns",
			Programs: []Program{{"coredns", "github.com/coredns/coredns"}},
		},
		{
			Name: "metrics-server", Version: MetricsServerVersion, Module: "sigs.k8s.io/metrics-server",
			Programs: []Program{{"metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"}},
			stamps:   []string{"k8s.io/client-go/pkg/version.gitVersion=" + MetricsServerVersion},
		},
		{
			Name: "lab",
			Programs: []Program{
				{"pause", labModule + "/cmd/pause"},
				{"provisioner", labModule + "/cmd/provisioner"},
				{"shop", labModule + "/cmd/shop"},
				{"switchd", labModule + "/cmd/switchd"},
			},
		},
	}
}

// MinimalControlPlane returns the names to build for tests against a real API
// server in which no machine takes part: far less than a cluster.
func MinimalControlPlane() []string {
	return []string{"etcd", "kube-apiserver", "kubectl"}
}

// kubernetesStamps returns what a release build of Kubernetes puts into both
// packages that know a version.
func kubernetesStamps(version string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var stamps []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		stamps = append(stamps,
			pkg+".gitVersion="+version,
			pkg+".gitMajor="+major,
			pkg+".gitMinor="+minor,
			pkg+".gitTreeState=clean",
		)
	}
	return stamps
}

// selection is a component with the programs wanted of it.
type selection struct {
	Component
	wanted []Program
}

// selectPrograms resolves names, each a component's or a program's, in the order of
// all. A name that is both ("etcd") means the component. No name means everything.
func selectPrograms(all []Component, names []string) ([]selection, error) {
	resolved := map[string]bool{}
	var selected []selection
	for _, c := range all {
		whole := len(names) == 0 || slices.Contains(names, c.Name)
		if whole {
			resolved[c.Name] = true
		}
		s := selection{Component: c}
		for _, p := range c.Programs {
			if whole || slices.Contains(names, p.Name) {
				resolved[p.Name] = true
				s.wanted = append(s.wanted, p)
			}
		}
		if len(s.wanted) > 0 {
			selected = append(selected, s)
		}
	}
	for _, name := range names {
		if !resolved[name] {
			return nil, fmt.Errorf("no component or program is called %q; there are %s", name, strings.Join(Names(all), ", "))
		}
	}
	return selected, nil
}

// Names returns the names that can be asked for: components, and programs whose
// name is not their component's.
func Names(all []Component) []string {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
		for _, p := range c.Programs {
			if p.Name != c.Name {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

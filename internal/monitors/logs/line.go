package logs

import (
	"context"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
)

// Line is one line of a log.
type Line struct {
	// At is when it was written, as far as the log tells, by the machine's clock.
	At time.Time
	// Source is the log: "journal", "kernel", a file's path, or a Pod's "namespace/pod/container".
	Source string
	// Writer is who wrote it, as it calls itself: "kubelet", "kernel", a unit, a container.
	Writer string
	// Class is what the catalogue knows the writer as; empty for others.
	Class catalogue.Class
	// Severity is F, E, W or I, as the line itself says; 0 where it does not.
	Severity byte
	// Text of the line, without its time.
	Text string

	// boot is the boot that it was written in; empty where the log does not tell.
	boot string
	// site is the place in the writer's code, as klog writes it; empty where the line has none.
	site string
}

// source is a log that is read on from where it was left.
type source interface {
	// read gives up to about limit bytes of what was written since, and says whether there is more.
	read(ctx context.Context, limit int64, yield func(Line)) (more bool, err error)
	// checkpoint is where reading stands, for the next process.
	checkpoint() string
	// kept tells how many lines were gone before they could be read, and when the oldest line was
	// written that the log still has; zero where that is not known.
	kept() (lost int64, oldest time.Time)
	close()
}

// classOfWriter knows writers by the names of units, containers and syslog tags.
func classOfWriter(name string) catalogue.Class {
	switch strings.TrimSuffix(name, ".service") {
	case "kernel":
		return catalogue.Kernel
	case "systemd":
		return catalogue.Systemd
	case "smartd", "smartmontools":
		return catalogue.Smartd
	case "kubelet":
		return catalogue.Kubelet
	case "containerd":
		return catalogue.Containerd
	case "docker", "dockerd":
		return catalogue.Docker
	case "crio", "cri-o":
		return catalogue.CRIO
	case "flanneld", "flannel", "kube-flannel", "flanneld-start":
		return catalogue.Flannel
	case "etcd":
		return catalogue.Etcd
	case "kube-apiserver":
		return catalogue.APIServer
	case "kube-scheduler":
		return catalogue.Scheduler
	case "kube-controller-manager":
		return catalogue.ControllerManager
	case "kube-proxy":
		return catalogue.KubeProxy
	case "coredns":
		return catalogue.CoreDNS
	case "calico-node", "cilium-agent", "kube-router", "weave", "antrea-agent", "ovnkube-node", "aws-node":
		return catalogue.Network
	default:
		return ""
	}
}

package monitors

import (
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/components"
	"github.com/maek-dev/maek/internal/monitors/cri"
	"github.com/maek-dev/maek/internal/monitors/etcd"
	"github.com/maek-dev/maek/internal/monitors/flannel"
	"github.com/maek-dev/maek/internal/monitors/kubelet"
	"github.com/maek-dev/maek/internal/monitors/overlay"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
	"github.com/maek-dev/maek/internal/monitors/units"
)

// All returns every monitor of a host, by name. Only a new monitor is a reason to edit it.
func All(host monitor.Host) []monitor.Monitor {
	return []monitor.Monitor{
		components.New(host),
		cri.New(host),
		etcd.New(host),
		kubelet.New(host),
		flannel.New(host),
		overlay.New(host),
		staticpods.New(host),
		units.New(host, nil),
	}
}

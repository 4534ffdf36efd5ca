package monitors

import (
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/certificates"
	"github.com/maek-dev/maek/internal/monitors/clock"
	"github.com/maek-dev/maek/internal/monitors/cni"
	"github.com/maek-dev/maek/internal/monitors/components"
	"github.com/maek-dev/maek/internal/monitors/cri"
	"github.com/maek-dev/maek/internal/monitors/etcd"
	"github.com/maek-dev/maek/internal/monitors/filesystems"
	"github.com/maek-dev/maek/internal/monitors/flannel"
	"github.com/maek-dev/maek/internal/monitors/interfaces"
	"github.com/maek-dev/maek/internal/monitors/iscsi"
	"github.com/maek-dev/maek/internal/monitors/kubelet"
	"github.com/maek-dev/maek/internal/monitors/limits"
	"github.com/maek-dev/maek/internal/monitors/logs"
	"github.com/maek-dev/maek/internal/monitors/multipath"
	"github.com/maek-dev/maek/internal/monitors/nfs"
	"github.com/maek-dev/maek/internal/monitors/oom"
	"github.com/maek-dev/maek/internal/monitors/overlay"
	"github.com/maek-dev/maek/internal/monitors/packetfilter"
	"github.com/maek-dev/maek/internal/monitors/pressure"
	"github.com/maek-dev/maek/internal/monitors/reboots"
	"github.com/maek-dev/maek/internal/monitors/resolver"
	"github.com/maek-dev/maek/internal/monitors/routes"
	"github.com/maek-dev/maek/internal/monitors/staticpods"
	"github.com/maek-dev/maek/internal/monitors/sysctls"
	"github.com/maek-dev/maek/internal/monitors/units"
)

// All returns every monitor of a host, by name; ofLogs are options of the one that reads logs. Only a new
// monitor is a reason to edit it.
func All(host monitor.Host, ofLogs ...logs.Options) []monitor.Monitor {
	return []monitor.Monitor{
		certificates.New(host),
		clock.New(host),
		cni.New(host),
		components.New(host),
		cri.New(host),
		etcd.New(host),
		filesystems.New(host),
		flannel.New(host),
		interfaces.New(host),
		iscsi.New(host),
		kubelet.New(host),
		limits.New(host),
		logs.New(host, ofLogs...),
		multipath.New(host),
		nfs.New(host),
		oom.New(host),
		overlay.New(host),
		packetfilter.New(host),
		pressure.New(host),
		reboots.New(host),
		resolver.New(host),
		routes.New(host),
		staticpods.New(host),
		sysctls.New(host),
		units.New(host, units.FromJournal(host)),
	}
}

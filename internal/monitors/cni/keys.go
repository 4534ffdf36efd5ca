package cni

import "github.com/maek-dev/maek/internal/monitor"

// keys are what the monitor gives. A machine without a kubelet gives none of them.
func keys() []monitor.Key {
	return []monitor.Key{
		{Pattern: "cni/folder", Doc: "folder in which the runtime looks for network plugins' configurations"},
		{Pattern: "cni/configurations", Doc: "how many configurations are in it; at: when the folder last got or lost a file"},
		{Pattern: "cni/first", Doc: "the first file by name, which the runtime takes; at: when it was written"},
		{Pattern: "cni/configuration/*/name", Doc: "name of the network that a file configures; at: when the file was written, as of all its values"},
		{Pattern: "cni/configuration/*/plugins", Doc: "plugins that a file calls, in order, separated by spaces"},
		{Pattern: "cni/configuration/*/bridge", Doc: "bridge that a file names"},
		{Pattern: "cni/configuration/*/mtu", Doc: "largest packet of pods that a file says, in bytes"},
		{Pattern: "cni/configuration/*/ranges", Doc: "ranges out of which a file lets addresses be given, separated by spaces"},
		{Pattern: "cni/configuration/*/broken", Doc: "why a file is no valid configuration"},
		{Pattern: "cni/program-missing/*", Doc: "folders in which a program was looked for that the first configuration names, and is in none of"},
		{Pattern: "cni/network/*/given", Doc: "how many addresses of a network the host-local plugin gave out and did not get back"},
		{Pattern: "cni/network/*/leaked", Doc: "how many of these have been held for more than ten minutes for a sandbox that does not run (containerd only); at: since when the oldest is held"},
		{Pattern: "cni/network/*/size", Doc: "how many IPv4 addresses the first configuration's ranges hold for pods"},
	}
}

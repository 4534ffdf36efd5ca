// Package cni watches what network plugins a machine has been told to use: the configurations in
// /etc/cni/net.d, of which runtimes take the first by name, the programs that it names, and the
// addresses that the host-local plugin has given out, with those whose pod is gone.
package cni

// Package resolver watches how a machine looks up names: the files that name its servers, for itself and
// for pods that use those of their node, and whether each of the servers answers a query from here. Image
// pulls, the kubelet, and what cluster DNS does not know itself depend on them.
package resolver

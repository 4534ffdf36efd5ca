// Package flannel watches flannel's own knowledge on a machine: with which settings flanneld runs,
// what it wrote to its subnet file, how Docker was told, and, where it keeps its subnets in etcd, the
// stored configuration and every lease, over the v3 and the v2 interface. Where flannel keeps its
// subnets in the API server, they are annotations of Nodes, and read with those.
package flannel

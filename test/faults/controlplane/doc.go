// Package controlplane runs whole control planes for fault scenarios: a real etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler as processes, and nodes that are Go code. Such a node
// renews its Lease, reports its status, gives the pods bound to it the status and the events that a
// kubelet would, and serves a kubelet's HTTPS endpoints, so that logs, configuration, statistics and
// refused connections are real answers.
//
// All of it lives in a network namespace without a way out, in which every address of 10.0.0.0/8 is
// local, and in a process namespace that takes every process along when it ends. Several control
// planes live side by side, each with a /16 of its own.
package controlplane

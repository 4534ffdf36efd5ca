// Package pods reaches into pods through the API server and their kubelets, as kubectl port-forward and
// kubectl exec do: connections to ports of a pod without opening one on this machine, and commands in
// containers. Neither sees what other clients of the pod see: a forwarded connection comes from within the
// pod, so that no NetworkPolicy, Service or node's way is part of it.
package pods

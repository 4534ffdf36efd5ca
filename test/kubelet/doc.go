// Package kubelet holds internal/probe against the kubelet's own code, of the version in go.mod:
// both ask the same servers, run the same commands, and watch the same containers. It is a module of
// its own, so that nothing else is built with Kubernetes.
//
// Each test logs a line of how many cases it compared and in how many both agreed to the letter.
package kubelet

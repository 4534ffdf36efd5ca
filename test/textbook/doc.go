// Package textbook plays the textbook cases of probes on a real cluster: a file that a liveness probe looks for is
// removed, one of two web servers behind a Service is not ready any more, a program starts more slowly than its liveness
// probe bears. The programs are busybox's, the kubelets are real, and what kubectl-maek says is held against what
// the cluster did: each step while it happens, the explanation afterwards, and the patch that mends it.
//
// It needs a cluster whose nodes have, or can pull, the image docker.io/library/busybox, and a kubectl in PATH that points at
// it: make test-textbook makes both on the lab.
package textbook

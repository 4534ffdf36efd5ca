// Package probes holds the rules about how containers are probed: what a probe's definition does to its
// pods by the kubelet's arithmetic, told from the definition where that alone is sure, and else from what
// the kubelet says that it saw. A finding that names the field that is wrong carries in its remedies the
// smallest patch that mends it.
package probes

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules: the audit of container probes.
var Catalog rule.Catalog

const (
	// probeTasks says how probes are configured.
	probeTasks = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/"
	// probeConcepts says what the kinds of probes are for.
	probeConcepts = "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/"
)

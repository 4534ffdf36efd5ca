// Package resilience holds the rules about what the next loss would take, by the mitigations that
// https://kubernetes.io/docs/tasks/debug/debug-cluster/#mitigations names. Their findings are no
// faults: rule.Rule.Risk keeps them out of incidents and verdict.
package resilience

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

// mitigations is where Kubernetes lists what helps against losses.
const mitigations = "https://kubernetes.io/docs/tasks/debug/debug-cluster/#mitigations"

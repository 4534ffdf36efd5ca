// Package checks holds the rules about checks as evidence: what a check that fails says about the
// cluster, and whether somebody still runs it. Checks are those of both versions of Kuberhealthy and
// Maek's own; who runs them, a Kuberhealthy or Maek's operator, makes no difference to the rules.
package checks

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

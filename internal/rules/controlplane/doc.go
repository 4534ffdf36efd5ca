// Package controlplane holds the rules about the control plane: the API server as seen from here, the controller manager, the scheduler.
package controlplane

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

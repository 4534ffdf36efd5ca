// Package controlplane holds the rules about the control plane: the API server as seen from here, the
// controller manager, the scheduler and other leaders, their static pods and certificates, and what the
// API server hands on to others.
package controlplane

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

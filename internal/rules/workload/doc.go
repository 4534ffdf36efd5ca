// Package workload holds the rules about workloads and their pods: scheduling, images, containers, rollouts.
package workload

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

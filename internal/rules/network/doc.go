// Package network holds the rules about what traffic takes its way by: Services and their endpoints,
// Ingresses and Gateways, load balancers, NetworkPolicies, and what monitors watch.
package network

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

// Package node holds the rules about nodes, as far as the API server shows them: the kubelet, the container runtime, the network plugin.
package node

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

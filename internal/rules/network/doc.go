// Package network holds the rules about Services and their endpoints.
package network

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

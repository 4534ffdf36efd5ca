// Package dns holds the rules about cluster DNS.
package dns

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

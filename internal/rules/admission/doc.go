// Package admission holds the rules about what the API server refuses to take in, and why: webhooks, quotas, Pod Security, conversion.
package admission

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

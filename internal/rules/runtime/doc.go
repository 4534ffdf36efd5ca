// Package runtime holds the rules about container runtimes as machines see them: whether one answers, is
// ready, and runs what the API server knows of.
package runtime

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

// Package storage holds the rules about volumes, claims, classes and the drivers behind them.
package storage

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

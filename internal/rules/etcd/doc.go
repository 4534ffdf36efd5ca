// Package etcd holds the rules about the store behind the API server, as far as the API server shows it.
package etcd

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

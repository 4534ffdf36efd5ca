// Package etcd holds the rules about the store behind the API server, as the API server shows it and as machines do
// whose agents, or whose operators, look at its members.
package etcd

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this folder's rules.
var Catalog rule.Catalog

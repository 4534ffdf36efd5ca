// Package config holds the rules about configuration that workloads refer to: ConfigMaps, Secrets and their keys.
package config

import "github.com/maek-dev/maek/internal/rule"

// Catalog of this package's rules.
var Catalog rule.Catalog

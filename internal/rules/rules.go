// Package rules composes the catalogs of detection rules. The folders below it are the layers of a
// cluster; in each, one rule is one file with its fixtures beside it.
package rules

import (
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules/admission"
	"github.com/maek-dev/maek/internal/rules/checks"
	"github.com/maek-dev/maek/internal/rules/config"
	"github.com/maek-dev/maek/internal/rules/controlplane"
	"github.com/maek-dev/maek/internal/rules/dns"
	"github.com/maek-dev/maek/internal/rules/etcd"
	"github.com/maek-dev/maek/internal/rules/network"
	"github.com/maek-dev/maek/internal/rules/node"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/rules/resilience"
	"github.com/maek-dev/maek/internal/rules/runtime"
	"github.com/maek-dev/maek/internal/rules/storage"
	"github.com/maek-dev/maek/internal/rules/workload"
)

// Folder is one layer of a cluster with its rules.
type Folder struct {
	// Name of the folder below this one.
	Name string
	// Rules in it, by code.
	Rules []rule.Rule
}

// Folders returns every folder of rules, by name. Only a new folder is a reason to edit it.
func Folders() []Folder {
	return []Folder{
		{"admission", admission.Catalog.Rules()},
		{"checks", checks.Catalog.Rules()},
		{"config", config.Catalog.Rules()},
		{"controlplane", controlplane.Catalog.Rules()},
		{"dns", dns.Catalog.Rules()},
		{"etcd", etcd.Catalog.Rules()},
		{"network", network.Catalog.Rules()},
		{"node", node.Catalog.Rules()},
		{"probes", probes.Catalog.Rules()},
		{"resilience", resilience.Catalog.Rules()},
		{"runtime", runtime.Catalog.Rules()},
		{"storage", storage.Catalog.Rules()},
		{"workload", workload.Catalog.Rules()},
	}
}

// All returns every rule.
func All() []rule.Rule {
	var all []rule.Rule
	for _, f := range Folders() {
		all = append(all, f.Rules...)
	}
	return all
}

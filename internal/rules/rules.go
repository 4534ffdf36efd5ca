// Package rules composes the catalogs of detection rules. The folders below it are the layers of a
// cluster; in each, one rule is one file with its fixtures beside it.
package rules

import (
	"slices"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules/admission"
	"github.com/maek-dev/maek/internal/rules/config"
	"github.com/maek-dev/maek/internal/rules/controlplane"
	"github.com/maek-dev/maek/internal/rules/dns"
	"github.com/maek-dev/maek/internal/rules/etcd"
	"github.com/maek-dev/maek/internal/rules/network"
	"github.com/maek-dev/maek/internal/rules/node"
	"github.com/maek-dev/maek/internal/rules/resilience"
	"github.com/maek-dev/maek/internal/rules/storage"
	"github.com/maek-dev/maek/internal/rules/workload"
)

// All returns every rule. Only a new folder is a reason to edit it.
func All() []rule.Rule {
	return slices.Concat(
		admission.Catalog.Rules(),
		config.Catalog.Rules(),
		controlplane.Catalog.Rules(),
		dns.Catalog.Rules(),
		etcd.Catalog.Rules(),
		network.Catalog.Rules(),
		node.Catalog.Rules(),
		resilience.Catalog.Rules(),
		storage.Catalog.Rules(),
		workload.Catalog.Rules(),
	)
}

package workload

import (
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// cutOff are the findings that prove, by lines of the pods' own logs, that pods are kept from names or
// from the Services that they call.
func cutOff() []rule.Cause {
	return []rule.Cause{
		{Code: "NetworkPolicyBlocks", Via: rule.Claimed},
		{Code: "ServiceTargetPortMismatch", Via: rule.Claimed},
		{Code: "ClusterDNSUpstreamFailing", Via: rule.Claimed},
		{Code: "ClusterDNSAddressMismatch", Via: rule.Claimed},
	}
}

// withoutNames are the findings that explain programs which cannot look names up, for a rule whose own
// check of that is the Holds of each.
func withoutNames(holds func(*snapshot.Snapshot, finding.Finding, finding.Finding) bool) []rule.Cause {
	return []rule.Cause{
		{Code: "ClusterDNSDown", Via: rule.Cluster, Holds: holds},
		{Code: "CorefileOverridesClusterDomain", Via: rule.Cluster, Holds: holds},
	}
}

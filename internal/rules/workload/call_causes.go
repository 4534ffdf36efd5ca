package workload

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// callCauses are what can keep a program from those whom it calls, beyond what its own evidence names
// (Finding.WaitsFor): names, the network, rights, the API server.
func callCauses() []rule.Cause {
	return slices.Concat(withoutNames(failsOverNames), cutOff(), []rule.Cause{
		{Code: "CorefileInvalid", Via: rule.Claimed},
		{Code: "DNSForwardLoop", Via: rule.Claimed},
		{Code: "WorkloadScaledToZero", Via: rule.Claimed},
		{Code: "AccessDenied", Via: rule.Claimed},
		{Code: "CustomResourceDefinitionMissing", Via: rule.Claimed},
		{Code: "VolumeFull", Via: rule.Claimed, Holds: failsOverSpace},
		{Code: "ApiServerNotReady", Via: rule.Cluster, Holds: needsAPIServer},
		{Code: "EtcdUnavailable", Via: rule.Cluster, Holds: needsAPIServer},
		{Code: "EtcdDatabaseFull", Via: rule.Cluster, Holds: needsAPIServer},
		{Code: "ApiServerNotReady", Via: rule.Cluster, Holds: callsAPIServer},
	})
}

// failsOverNames tells whether a container, or its probe, speaks of a name that was not resolved.
func failsOverNames(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return nameFailures.MatchString(e.Value) })
}

// failsOverSpace tells whether a container says that a file system is full.
func failsOverSpace(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return slices.ContainsFunc(effect.Evidence, func(e finding.Evidence) bool { return noSpace.MatchString(e.Value) })
}

// callsAPIServer tells whether the evidence says that the API server did not serve a program.
func callsAPIServer(_ *snapshot.Snapshot, effect, _ finding.Finding) bool {
	return slices.Contains(effect.WaitsFor, finding.Subject{Kind: "Service", Namespace: metav1.NamespaceDefault, Name: "kubernetes"})
}

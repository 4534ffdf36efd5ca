package checks

import (
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// scenario is what a check does to find out, as far as its name and its image tell: it says which faults can
// be behind its failure though its words name nothing that is ill.
type scenario int

const (
	// scenarioOther: not known. It makes nothing but its own pod.
	scenarioOther scenario = iota
	// scenarioDaemonSet runs a pod on every node.
	scenarioDaemonSet
	// scenarioDeployment rolls a Deployment and asks it through its Service.
	scenarioDeployment
	// scenarioDNS resolves names.
	scenarioDNS
	// scenarioStorage binds, writes and reads volumes.
	scenarioStorage
	// scenarioImage pulls an image.
	scenarioImage
	// scenarioPod makes pods in other namespaces.
	scenarioPod
)

// scenarioNames are the names of the scenarios of kubectl maek check that do the same.
var scenarioNames = map[scenario]string{
	scenarioDaemonSet: "daemonset", scenarioDeployment: "deployment", scenarioDNS: "dns", scenarioStorage: "storage", scenarioPod: "namespace-pod",
}

// scenarioWords are parts of the names of Kuberhealthy's images and of the checks that its chart makes, in
// the order in which they are looked for
// (https://github.com/kuberhealthy/kuberhealthy/blob/master/docs/CHECKS_REGISTRY.md).
var scenarioWords = []struct {
	word string
	is   scenario
}{
	{"daemonset", scenarioDaemonSet},
	{"deployment", scenarioDeployment},
	{"dns", scenarioDNS},
	{"storage", scenarioStorage},
	{"image-download", scenarioImage},
	{"image-pull", scenarioImage},
	{"namespace-pod", scenarioPod},
}

// scenarioOf knows a check by its images, which are mostly the stock ones whatever people call the check,
// and else by its name.
func scenarioOf(c *check) scenario {
	if c.spec != nil && c.spec.Synthetic == nil && c.spec.PodTemplate == nil {
		// A probe does what its spec says, whatever it is called.
		if c.spec.DNS != nil {
			return scenarioDNS
		}
		return scenarioOther
	}
	names := make([]string, 0, len(c.images)+1)
	for _, image := range c.images {
		names = append(names, snapshot.ParseImage(image).Name())
	}
	for _, name := range append(names, c.subject.Name) {
		for _, w := range scenarioWords {
			if strings.Contains(name, w.word) {
				return w.is
			}
		}
	}
	return scenarioOther
}

// acts tells whether a check makes pods beside its own.
func (s scenario) acts() bool {
	switch s {
	case scenarioDaemonSet, scenarioDeployment, scenarioStorage, scenarioPod, scenarioImage:
		return true
	default:
		return false
	}
}

// These are the rules whose findings reach what a check does, wherever it does it.
var (
	// creating: nobody stores, admits or makes what a check asks for.
	creating = []finding.Code{
		"EtcdQuorumLost", "EtcdNoLeader", "EtcdUnavailable", "EtcdDatabaseFull", "ApiServerRejectsRequests", "ApiServerOverloaded", "ControllerManagerDown",
	}
	// starting: pods do not come to run.
	starting = []finding.Code{"SchedulerDown", "ClusterCapacityExhausted"}
	// nodes: pods do not run on some node.
	nodes = []finding.Code{
		"NodesLostTogether", "NodeUnreachable", "NodeNotReady", "KubeletStopped", "KubeletUnitStopped", "KubeletCannotStart", "KubeletHung", "KubeletCannotReport", "ContainerRuntimeDown", "ContainerRuntimeStopped",
		"ContainerRuntimeHung", "ContainerRuntimeNotReady", "NetworkPluginNotReady", "CniConfigMissing", "CniConfigInvalid", "PodAddressesExhausted", "PodCIDRConflict",
		"NodePodCIDRMissing", "NodeDiskPressure", "NodeMemoryPressure", "NodePIDPressure",
	}
	// names are not resolved in the cluster, and namesOutside none of those beyond it.
	names        = []finding.Code{"ClusterDNSDown", "CorefileInvalid", "CorefileOverridesClusterDomain", "DNSForwardLoop", "ClusterDNSAddressMismatch"}
	namesOutside = []finding.Code{"ClusterDNSUpstreamFailing", "ResolverBroken", "NodeResolverBroken"}
	// traffic between pods, or to Services, does not arrive.
	traffic = []finding.Code{
		"KubeProxyDown", "PodNetworkBroken", "NetworkPartitioned", "PacketFilterBlocksCluster", "ForwardingDisabled", "OverlayMtuMismatch", "OverlayRouteMissing", "OverlayEntryStale",
		"OverlayForwardingEntryMissing", "OverlayNeighbourMissing", "ServiceAddressUnreachable", "ServiceAddressesExhausted", "MeshPortBlocked", "FlannelDeviceMissing", "FlannelConfigMismatch",
	}
	// volumes are not made, attached or mounted.
	volumes = []finding.Code{
		"VolumeNotProvisioned", "StorageClassMissing", "StorageClassDefaults", "CSIDriverNotOnNode", "VolumeAttachFailed", "NfsServerNotResponding", "IscsiSessionFailed", "MultipathNoPath",
	}
	// images are not pulled.
	images = []finding.Code{"RegistryUnreachable"}
)

// reachedBy are the causes of a check's failure by what it does. What its own words name goes before them.
func reachedBy(holds func(s *snapshot.Snapshot, c *check) bool, codes ...finding.Code) []rule.Cause {
	var out []rule.Cause
	for _, code := range codes {
		out = append(out, rule.Cause{Code: code, Via: rule.Cluster, Holds: func(s *snapshot.Snapshot, effect, _ finding.Finding) bool {
			c := checksOf(s).bySubject[effect.Subject]
			return c != nil && holds(s, c)
		}})
	}
	return out
}

// is returns a test for what a check does.
func is(those ...scenario) func(*snapshot.Snapshot, *check) bool {
	return func(_ *snapshot.Snapshot, c *check) bool { return slices.Contains(those, c.scenario) }
}

func acts(_ *snapshot.Snapshot, c *check) bool { return c.scenario.acts() }

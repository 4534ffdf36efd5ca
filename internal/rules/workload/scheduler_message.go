package workload

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// obstacle is a kind of thing that keeps the scheduler from placing a pod.
type obstacle int

const (
	obstacleOther        obstacle = iota
	obstacleAffinity              // the pod's own node selector or node affinity
	obstacleNodeName              // the pod names a node
	obstacleTaints                // taints that the pod does not tolerate
	obstacleFault                 // taints that stand for a node's own trouble
	obstacleCordon                // nodes that are cordoned
	obstaclePodAffinity           // pods that it wants to be near are elsewhere
	obstacleAntiAffinity          // pods that it must not be near are everywhere
	obstacleSpread                // topology spread constraints
	obstaclePorts                 // host ports in use
	obstacleResources             // a resource is used up
	obstaclePods                  // nodes run as many pods as they may
	obstacleVolumePlace           // a volume can be used elsewhere only
	obstacleVolumeCount           // nodes have as many volumes as they may
	obstacleVolumeInUse           // a volume that only one pod may use
	obstacleUnbound               // a claim has no volume
	obstacleNoClaim               // a claim does not exist
	obstacleClaimGoing            // a claim is being deleted
	obstacleDevices               // claimed devices
	obstacleNoNodes               // the cluster has no nodes
)

// obstacles are the texts with which the scheduler's plugins reject a pod
// (k8s.io/kubernetes/pkg/scheduler v1.36, framework/plugins: ErrReason… of nodeaffinity, nodename,
// tainttoleration, nodeunschedulable, interpodaffinity, podtopologyspread, nodeports, noderesources/fit.go,
// volumebinding, volumezone, volumerestrictions, nodevolumelimits; schedule_one.go; scheduler.go), and
// those of older releases, back to v1.20.
var obstacles = []struct {
	text *regexp.Regexp
	kind obstacle
}{
	{regexp.MustCompile(`^Insufficient `), obstacleResources},
	{regexp.MustCompile(`^Too many pods`), obstaclePods},
	{regexp.MustCompile(`untolerated taint|had taint \{|taints that the pod didn't tolerate`), obstacleTaints},
	{regexp.MustCompile(`were unschedulable`), obstacleCordon},
	{regexp.MustCompile(`node affinity/selector|scheduler-enforced node affinity|didn't match (?:Pod's )?node (?:selector|affinity)|plugin\(?s?\)? \[?NodeAffinity`), obstacleAffinity},
	{regexp.MustCompile(`requested node name`), obstacleNodeName},
	{regexp.MustCompile(`anti-affinity`), obstacleAntiAffinity},
	{regexp.MustCompile(`pod affinity`), obstaclePodAffinity},
	{regexp.MustCompile(`topology spread constraints`), obstacleSpread},
	{regexp.MustCompile(`free ports`), obstaclePorts},
	{regexp.MustCompile(`PersistentVolume's node affinity|volume node affinity conflict|available volume zone|plugin\(?s?\)? \[?Volume`), obstacleVolumePlace},
	{regexp.MustCompile(`max volume count|volume limit`), obstacleVolumeCount},
	{regexp.MustCompile(`ReadWriteOncePod|had no available disk`), obstacleVolumeInUse},
	{regexp.MustCompile(`unbound immediate PersistentVolumeClaims|available persistent volumes to bind|enough free storage|ephemeral volume controller`), obstacleUnbound},
	{regexp.MustCompile(`persistentvolumeclaim "[^"]*" not found|non-existent (?:pv\(s\)|persistentvolume)`), obstacleNoClaim},
	{regexp.MustCompile(`persistentvolumeclaim "[^"]*" is being deleted`), obstacleClaimGoing},
	{regexp.MustCompile(`(?i)resource ?claim|device class|cannot allocate all claims`), obstacleDevices},
	{regexp.MustCompile(`no nodes available to schedule pods`), obstacleNoNodes},
}

// clause is one part of the scheduler's message: how many nodes are ruled out by what.
type clause struct {
	nodes int
	kind  obstacle
	text  string
}

// verdict is what the scheduler says of a pod that it cannot place.
type verdict struct {
	// total is the number of nodes that it looked at; 0 where it does not say.
	total   int
	clauses []clause
}

var (
	// verdictHead opens the message (k8s.io/kubernetes/pkg/scheduler/framework/types.go, NoNodeAvailableMsg).
	verdictHead = regexp.MustCompile(`^0/(\d+) nodes are available: `)
	counted     = regexp.MustCompile(`^(\d+) (.*)$`)
)

// parseVerdict reads the scheduler's message: "0/N nodes are available: n reason, m reason. " and
// then what preemption could not do, which is left out. A reason without a number, which a
// PreFilter plugin gives, rules out every node.
func parseVerdict(message string) verdict {
	var v verdict
	body := message
	if m := verdictHead.FindStringSubmatch(message); m != nil {
		v.total, _ = strconv.Atoi(m[1])
		body = message[len(m[0]):]
		if list, _, ok := strings.Cut(body, ". "); ok {
			body = list
		}
	}
	var parts []string
	for part := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(body), "."), ", ") {
		if len(parts) > 0 && !counted.MatchString(part) {
			parts[len(parts)-1] += ", " + part
			continue
		}
		parts = append(parts, part)
	}
	for _, part := range parts {
		c := clause{nodes: v.total, text: part}
		if m := counted.FindStringSubmatch(part); m != nil && v.total > 0 {
			c.nodes, _ = strconv.Atoi(m[1])
			c.text = m[2]
		}
		for _, o := range obstacles {
			if o.text.MatchString(c.text) {
				c.kind = o.kind
				break
			}
		}
		v.clauses = append(v.clauses, c)
	}
	return v
}

// widest returns the clause of one of the given kinds that rules out the most nodes.
func (v verdict) widest(kinds ...obstacle) (clause, bool) {
	var found []clause
	for _, c := range v.clauses {
		if slices.Contains(kinds, c.kind) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return clause{}, false
	}
	return slices.MaxFunc(found, func(a, b clause) int {
		return cmp.Or(cmp.Compare(a.nodes, b.nodes), cmp.Compare(a.kind, b.kind))
	}), true
}

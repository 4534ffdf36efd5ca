package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseVerdictCountsNodesByObstacle(t *testing.T) {
	for name, tc := range map[string]struct {
		message string
		want    verdict
	}{
		"several reasons and preemption, as v1.36 says it": {
			"0/5 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector. " +
				"no new claims to deallocate, preemption: 0/5 nodes are available: 2 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling.",
			verdict{5, []clause{
				{1, obstacleTaints, "node(s) had untolerated taint(s)"},
				{2, obstacleResources, "Insufficient cpu"},
				{2, obstacleAffinity, "node(s) didn't match Pod's node affinity/selector"},
			}},
		},
		"a taint with its name, as older releases say it": {
			"0/2 nodes are available: 1 node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate, 1 node(s) were unschedulable.",
			verdict{2, []clause{
				{1, obstacleTaints, "node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate"},
				{1, obstacleCordon, "node(s) were unschedulable"},
			}},
		},
		"a claim for which no node is looked at": {
			`0/3 nodes are available: persistentvolumeclaim "data.v1" not found. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.`,
			verdict{3, []clause{{3, obstacleNoClaim, `persistentvolumeclaim "data.v1" not found`}}},
		},
		"a volume's place is not the pod's own wish": {
			"0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity.",
			verdict{1, []clause{{1, obstacleVolumePlace, "node(s) didn't match PersistentVolume's node affinity"}}},
		},
		"anti-affinity of its own and of others": {
			"0/2 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) didn't satisfy existing pods anti-affinity rules.",
			verdict{2, []clause{
				{1, obstacleAntiAffinity, "node(s) didn't match pod anti-affinity rules"},
				{1, obstacleAntiAffinity, "node(s) didn't satisfy existing pods anti-affinity rules"},
			}},
		},
		"no nodes":       {"no nodes available to schedule pods", verdict{0, []clause{{0, obstacleNoNodes, "no nodes available to schedule pods"}}}},
		"something else": {"0/1 nodes are available: 1 out of luck.", verdict{1, []clause{{1, obstacleOther, "out of luck"}}}},
		"nothing":        {"", verdict{0, []clause{{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseVerdict(tc.message), cmp.AllowUnexported(verdict{}, clause{})); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

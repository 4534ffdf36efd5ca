package synthetic

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestStorage(t *testing.T) {
	// bound has pods that read elsewhere than on n1 find no node.
	bound := func(message string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			if p.Spec.NodeName == "n2" {
				p.Spec.NodeName = ""
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message}}
				return
			}
			ready(p)
		}
	}
	failsOn := func(step string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			ready(p)
			if strings.Contains(p.Labels[labelStep], step) {
				p.Status.Phase = corev1.PodFailed
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "storage", State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: `/data/index.html holds "", and "storage-check-ok" was written to it`},
				}}}
			}
		}
	}
	tests := map[string]struct {
		objects    []client.Object
		options    map[string]string
		kubelet    func(*corev1.Pod)
		wantErrors []string
		wantNote   string
		wantNodes  []NodeResult
	}{
		"a volume is read on another node": {
			objects:   []client.Object{node("n1"), node("n2")},
			wantNodes: []NodeResult{{Node: "n2", OK: true}},
			wantNote:  "took: binding 0s, writing 0s, reading on n2 0s, deleting the claim 0s, deleting the volume 0s",
		},
		"with one node it is read there": {
			objects:   []client.Object{node("n1")},
			wantNodes: []NodeResult{{Node: "n1", OK: true}},
			wantNote:  "there is no node but n1 for the pods: the volume was read on the node that wrote it",
		},
		"a control plane node is none to read on": {
			objects:   []client.Object{node("n1"), node("n2", tainted("node-role.kubernetes.io/control-plane", "", corev1.TaintEffectNoSchedule))},
			wantNodes: []NodeResult{{Node: "n1", OK: true}},
			wantNote:  "there is no node but n1 for the pods: the volume was read on the node that wrote it",
		},
		"a volume that is bound to its node is read there": {
			objects:   []client.Object{node("n1"), node("n2")},
			kubelet:   bound("0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had volume node affinity conflict."),
			wantNodes: []NodeResult{{Node: "n1", OK: true}},
			wantNote:  "the volume is bound to node n1 or its zone: it was read on the node that wrote it",
		},
		"a node without room is no bound volume": {
			objects:    []client.Object{node("n1"), node("n2")},
			kubelet:    bound("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict."),
			wantErrors: []string{"reading the volume did not succeed until the time of the run was over: pod checks/storage-check-job-0-abc123-0-1 has no node: Unschedulable: 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict"},
		},
		"the nodes that are asked for are read on": {
			objects:   []client.Object{node("n1"), node("n2"), node("n3")},
			options:   map[string]string{"CHECK_STORAGE_ALLOWED_CHECK_NODES": "n3 n1,n2", "CHECK_STORAGE_IGNORED_CHECK_NODES": "n1"},
			wantNodes: []NodeResult{{Node: "n3", OK: true}, {Node: "n2", OK: true}},
		},
		"what was written does not come back": {
			objects:    []client.Object{node("n1"), node("n2")},
			kubelet:    failsOn("storage-check-job"),
			wantErrors: []string{`reading the volume on node n2 failed: pod checks/storage-check-job-0-abc123-0-1 has failed: container storage ended with code 1: /data/index.html holds "", and "storage-check-ok" was written to it`},
			wantNodes:  []NodeResult{{Node: "n2", Message: `reading the volume on node n2 failed: pod checks/storage-check-job-0-abc123-0-1 has failed: container storage ended with code 1: /data/index.html holds "", and "storage-check-ok" was written to it`}},
		},
		"a provisioner that is gone": {
			objects: []client.Object{
				node("n1"), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "dead"}, Provisioner: "csi.example.com"},
				&corev1.Event{
					ObjectMeta: metav1.ObjectMeta{Namespace: checks, Name: "e"}, Type: corev1.EventTypeNormal, Reason: "ExternalProvisioning", InvolvedObject: corev1.ObjectReference{UID: "uid-1"},
					Message: "Waiting for a volume to be created either by the external provisioner 'csi.example.com' or manually by the system administrator.",
				},
			},
			options:    map[string]string{"CHECK_STORAGE_PVC_STORAGE_CLASS_NAME": "dead"},
			kubelet:    func(p *corev1.Pod) { p.Spec.NodeName = "" },
			wantErrors: []string{"writing to the volume did not succeed until the time of the run was over: claim checks/storage-check-pvc-abc123 is Pending: ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'csi.example.com' or manually by the system administrator; its StorageClass is dead, of the provisioner csi.example.com; its pod has no node, and no scheduler has said a word about it"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, tc.objects...)
				cluster.kubelet = tc.kubelet
				result := playFor(t, 10*time.Minute, cluster.environment(tc.options), runStorage)
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantNodes, result.Nodes); diff != "" {
					t.Errorf("nodes (-want +got):\n%s", diff)
				}
				if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, tc.wantNote) {
					t.Errorf("notes %q are without %q", notes, tc.wantNote)
				}
				if left := cluster.left(t); len(left) > 0 {
					t.Errorf("left in the cluster: %v", left)
				}
			})
		})
	}
}

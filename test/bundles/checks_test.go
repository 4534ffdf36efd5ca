package bundles

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
)

// Recordings of clusters without checks, into which checks are put as the operator writes them.
func TestChecksStandInTheIncidentOfWhatTheyFound(t *testing.T) {
	tests := map[string]struct {
		recording string
		objects   func(now time.Time) []runtime.Object
		// wantRoots are the codes of all incidents, and wantChain is told in the first.
		wantRoots []string
		wantChain string
	}{
		"a stopped kubelet, and a daemonset check that names its node": {
			recording: "NO02",
			objects: func(now time.Time) []runtime.Object {
				return failedCheck(now, "daemonset", "kuberhealthy/daemonset-check:v3", "DaemonSet pods did not come up on nodes: w2")
			},
			wantRoots: []string{"KubeletStopped"}, wantChain: "CheckFailing",
		},
		"a stopped kubelet, and a Kuberhealthy's check whose pod was on its node": {
			recording: "NO02",
			objects: func(now time.Time) []runtime.Object {
				objects := failedCheck(now, "pod-status", "kuberhealthy/pod-status-check:v1", "Check execution error: kuberhealthy/pod-status: timed out waiting for checker pod to report in")
				return append(objects, checkerPod(now, "pod-status", "w2", corev1.PodStatus{Phase: corev1.PodRunning}))
			},
			wantRoots: []string{"KubeletStopped"}, wantChain: "CheckerBroken",
		},
		"a stopped kubelet, and a thousand checks that name its node among all others": {
			recording: "NO02",
			objects: func(now time.Time) []runtime.Object {
				var objects []runtime.Object
				for i := range 1000 {
					objects = append(objects, failedCheck(now, fmt.Sprintf("check-%d", i), "example.com/check:v1", "one of w1, w2, w3, cp and cp1 does not answer")...)
				}
				return objects
			},
			wantRoots: []string{"KubeletStopped"}, wantChain: "CheckFailing",
		},
		"a check that nothing explains beside a stopped kubelet": {
			recording: "NO02",
			objects: func(now time.Time) []runtime.Object {
				return failedCheck(now, "backup", "example.com/backup-check:v1", "there is no copy of today")
			},
			wantRoots: []string{"CheckFailing", "KubeletStopped"},
		},
		"cluster DNS down, and a check of names": {
			recording: "DN01",
			objects: func(now time.Time) []runtime.Object {
				return failedCheck(now, "dns-status-internal", "kuberhealthy/dns-resolution-check:v1", "DNS Status check determined that kubernetes.default is DOWN: i/o timeout")
			},
			wantRoots: []string{"ClusterDNSDown"}, wantChain: "CheckFailing",
		},
		"a checker whose image does not exist": {
			recording: "DN01",
			objects: func(now time.Time) []runtime.Object {
				objects := failedCheck(now, "daemonset", "kuberhealthy/daemonset-check:none", "Check execution error: kuberhealthy/daemonset: error when waiting for pod to start: ErrImagePull")
				return append(objects, withoutImage(now))
			},
			wantRoots: []string{"ClusterDNSDown", "ImageNotFound"}, wantChain: "CheckerBroken",
		},
		"the same of a Kuberhealthy, whose pods name their check in a label only": {
			recording: "DN01",
			objects: func(now time.Time) []runtime.Object {
				objects := failedCheck(now, "daemonset", "kuberhealthy/daemonset-check:none", "Check execution error: kuberhealthy/daemonset: error when waiting for pod to start: ErrImagePull")
				pod := withoutImage(now)
				pod.OwnerReferences = nil
				return append(objects, pod)
			},
			wantRoots: []string{"ClusterDNSDown", "ImageNotFound"}, wantChain: "CheckerBroken",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := diagnoseWith(t, tc.recording, tc.objects)
			var roots []string
			for _, i := range d.Incidents {
				roots = append(roots, string(i.Root.Code))
			}
			slices.Sort(roots)
			if tc.wantRoots != nil && !slices.Equal(roots, tc.wantRoots) {
				t.Errorf("roots: got %v, want %v\n%s", roots, tc.wantRoots, printed(t, d, finding.English))
			}
			if tc.wantChain != "" && !told(d, tc.wantChain) {
				t.Errorf("no chain tells of %s\n%s", tc.wantChain, printed(t, d, finding.English))
			}
		})
	}
}

// told tells whether an incident has a finding of a code in its chain, and none has it as its root.
func told(d diagnosis.Diagnosis, code string) bool {
	found := false
	for _, i := range d.Incidents {
		if string(i.Root.Code) == code {
			return false
		}
		for _, link := range i.Chain {
			found = found || string(link.Code) == code
		}
	}
	return found
}

// What a checker leaves behind is the check's business, and where the check is well nobody's.
func TestPodsOfRunsThatAreOverAreNoIncident(t *testing.T) {
	over := func(now time.Time, code int32, reason string, phase corev1.PodPhase) corev1.PodStatus {
		return corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, FinishedAt: metav1.Time{Time: now.Add(-3 * time.Minute)}},
		}}}}
	}
	before := diagnose(t, filepath.Join("NO02", "bundle.tar.gz"))
	d := diagnoseWith(t, "NO02", func(now time.Time) []runtime.Object {
		objects := wellCheck(now, "daemonset")
		for i, status := range []corev1.PodStatus{
			over(now, 1, "Error", corev1.PodFailed), over(now, 137, "OOMKilled", corev1.PodFailed), over(now, 0, "Completed", corev1.PodSucceeded),
		} {
			for _, owned := range []bool{true, false} {
				pod := checkerPod(now, "daemonset", "w2", status)
				pod.Name = fmt.Sprintf("daemonset-%d-%t", i, owned)
				if !owned {
					pod.OwnerReferences = nil
				}
				objects = append(objects, pod)
			}
		}
		return objects
	})
	if got, want := len(d.Incidents), len(before.Incidents); got != want {
		t.Errorf("%d incidents, want the %d that there were\n%s", got, want, printed(t, d, finding.English))
	}
}

// withoutImage is a checker pod whose image the registry does not have.
func withoutImage(now time.Time) *corev1.Pod {
	return checkerPod(now, "daemonset", "w2", corev1.PodStatus{
		Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "main", Image: "kuberhealthy/daemonset-check:none",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
				Reason: "ImagePullBackOff", Message: `Back-off pulling image "kuberhealthy/daemonset-check:none": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image: not found`,
			}},
		}},
	})
}

// What runs checks is ill: that is one incident, and not one for each check whose results are old.
func TestChecksThatNobodyRunsAreOneIncident(t *testing.T) {
	stale := func(now time.Time) []runtime.Object {
		var objects []runtime.Object
		for i := range 5 {
			objects = append(objects, wellCheck(now.Add(-5*time.Hour), fmt.Sprintf("check-%d", i))...)
		}
		return objects
	}
	tests := map[string]struct {
		objects  func(now time.Time) []runtime.Object
		wantRoot string
	}{
		"there is no operator": {objects: stale, wantRoot: "CheckOperatorMissing"},
		"the operator cannot start": {
			objects: func(now time.Time) []runtime.Object {
				template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "ghcr.io/maek-dev/maek-operator:v1"}}}}
				template.Labels = map[string]string{"app": "maek-operator"}
				long := metav1.Time{Time: now.Add(-5 * time.Hour)}
				return append(stale(now), &appsv1.Deployment{
					TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
					ObjectMeta: metav1.ObjectMeta{Namespace: "maek-system", Name: "maek-operator", CreationTimestamp: metav1.Time{Time: now.Add(-48 * time.Hour)}, Generation: 1},
					Spec:       appsv1.DeploymentSpec{Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: template.Labels}, Template: template},
					Status: appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, UnavailableReplicas: 1, Conditions: []appsv1.DeploymentCondition{
						{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse, Reason: "MinimumReplicasUnavailable", LastTransitionTime: long, LastUpdateTime: long},
					}},
				})
			},
			wantRoot: "WorkloadUnavailable",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := diagnoseWith(t, "DN01", tc.objects)
			var roots []string
			for _, i := range d.Incidents {
				roots = append(roots, string(i.Root.Code))
			}
			slices.Sort(roots)
			want := []string{"ClusterDNSDown", tc.wantRoot}
			slices.Sort(want)
			if !slices.Equal(roots, want) || !told(d, "CheckNotRunning") {
				t.Errorf("roots %v, want %v\n%s", roots, want, printed(t, d, finding.English))
			}
		})
	}
}

func wellCheck(now time.Time, name string) []runtime.Object {
	objects := failedCheck(now, name, "kuberhealthy/daemonset-check:v3", "")
	for _, o := range objects {
		if state, ok := o.(*khv1.KuberhealthyState); ok {
			state.Spec.OK, state.Spec.Errors = true, []string{}
		}
	}
	return objects
}

// failedCheck is a check whose newest run failed a minute ago.
func failedCheck(now time.Time, name, image, said string) []runtime.Object {
	spec, err := json.Marshal(corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}})
	if err != nil {
		panic(err)
	}
	meta := metav1.ObjectMeta{Namespace: "kuberhealthy", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.Time{Time: now.Add(-24 * time.Hour)}}
	return []runtime.Object{
		&khv1.KuberhealthyCheck{
			TypeMeta: metav1.TypeMeta{APIVersion: khv1.GroupVersion.String(), Kind: "KuberhealthyCheck"}, ObjectMeta: meta,
			Spec: khv1.CheckSpec{RunInterval: "15m", Timeout: "12m", PodSpec: runtime.RawExtension{Raw: spec}},
		},
		&khv1.KuberhealthyState{
			TypeMeta: metav1.TypeMeta{APIVersion: khv1.GroupVersion.String(), Kind: "KuberhealthyState"}, ObjectMeta: meta,
			Spec: khv1.State{Errors: []string{said}, Namespace: "kuberhealthy", AuthoritativePod: "kuberhealthy-0", LastRun: &metav1.Time{Time: now.Add(-time.Minute)}, CurrentUUID: "7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa"},
		},
	}
}

// checkerPod is a pod of a check's newest run, as Maek's operator makes it.
func checkerPod(now time.Time, check, node string, status corev1.PodStatus) *corev1.Pod {
	status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: now.Add(-10 * time.Minute)}}}
	status.StartTime = &metav1.Time{Time: now.Add(-10 * time.Minute)}
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "kuberhealthy", Name: check + "-1772417000", CreationTimestamp: metav1.Time{Time: now.Add(-10 * time.Minute)},
			Labels: map[string]string{"app": "kuberhealthy-check", "kuberhealthy-check-name": check, "kuberhealthy-run-id": "7f0c9a52-1f3c-4a2d-9a0e-1b8c55d1c0aa"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: khv1.GroupVersion.String(), Kind: "KuberhealthyCheck", Name: check, UID: types.UID("uid-" + check), Controller: new(true),
			}},
		},
		Spec:   corev1.PodSpec{NodeName: node, RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "kuberhealthy/" + check + "-check:none"}}},
		Status: status,
	}
}

// diagnoseWith diagnoses a recording to which objects were added, as files beside what it holds.
func diagnoseWith(t *testing.T, recording string, objects func(now time.Time) []runtime.Object) diagnosis.Diagnosis {
	t.Helper()
	recorded, err := bundle.Open(t.Context(), filepath.Join(recording, "bundle.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "with-checks")
	if err := bundle.Write(t.Context(), dir, recorded.Snapshot(), bundle.WriteOptions{Program: "test"}); err != nil {
		t.Fatal(err)
	}
	list := struct {
		metav1.TypeMeta `json:",inline"`

		Items []runtime.Object `json:"items"`
	}{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: objects(recorded.Snapshot().Now())}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "added.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	all := rules.All()
	d := diagnosis.Diagnose(rule.Evaluate(t.Context(), b.Snapshot(), all, b, rule.DefaultBudget), all)
	for _, f := range d.Failures {
		t.Errorf("%v", f.Err)
	}
	return d
}

package runs

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

func TestFailuresSayWhy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		check       client.Object
		wantReason  checkerpod.Reason
		wantError   string
		wantMessage string
	}{
		"a crash of version 2": {
			khcheck("", "crash", "crash", "1h", "5m"), checkerpod.Crashed,
			"Check execution error: NS/crash: timed out waiting for checker pod to report in", "exit code 139 (signal 11)",
		},
		"an exit without a report of version 3": {
			healthCheck("", "silent", "silent", "1h", "5m"), checkerpod.NoReport, "ended without a report", "exit without report",
		},
		"too much memory": {
			healthCheck("", "oom", "oom", "1h", "5m"), checkerpod.OOMKilled, "check run ", "OOMKilled",
		},
		"an image that does not exist": {
			khcheck("", "pull", "pull", "1h", "5m"), checkerpod.ImagePullFailed,
			"Check execution error: NS/pull: error when waiting for pod to start: ErrImagePull", "Back-off pulling image",
		},
		"a Secret that is missing": {
			khcheck("", "config", "config", "1h", "2s"), checkerpod.ConfigMissing,
			"Check execution error: NS/config: failed to see pod running within timeout", `secret "token" not found`,
		},
		"no node": {
			khcheck("", "pending", "pending", "1h", "2s"), checkerpod.Unschedulable,
			"failed to see pod running within timeout", "3 Insufficient cpu",
		},
		"a checker that hangs": {
			healthCheck("", "hang", "hang", "1h", "2s"), checkerpod.Deadline, "timed out after 2s (started at ", "still at work",
		},
		"a checker that is started again and again": {
			healthCheck("", "loop", "loop", "1h", "5m"), checkerpod.Crashed, "ended without a report", "exit code 1, started again 3 times",
		},
		"a PodSpec that the API server refuses": {
			khcheck("", "refused", "no good image", "1h", "2s"), checkerpod.PodRefused,
			"Check execution error: NS/refused: failed to create pod for checker", "",
		},
		"a PodSpec that is none": {
			&khv2.HealthCheck{ObjectMeta: metav1.ObjectMeta{Name: "empty"}}, checkerpod.PodRefused, "failed to create check pod", "no containers found",
		},
	}
	// What the API server itself refuses: a name of a container that is none.
	cases["a PodSpec that the API server refuses"].check.(*khv1.KuberhealthyCheck).Spec.PodSpec.Raw = []byte(`{"containers":[{"name":"NO NAME","image":"ok"}]}`)

	cases["a checker that is started again and again"].check.(*khv2.HealthCheck).Spec.PodSpec.Spec.Raw = []byte(`{"restartPolicy":"Always","containers":[{"name":"main","image":"loop"}]}`)

	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	for _, tc := range cases {
		tc.check.SetNamespace(ns)
		create(t, tc.check)
	}
	for name, tc := range cases {
		eventually(t, soon, name+": the run ends", func() bool { return len(one.outcomes.of(tc.check.GetName())) > 0 })
		got := one.outcomes.of(tc.check.GetName())[0]
		want := strings.ReplaceAll(tc.wantError, "NS", ns)
		if got.OK || got.Reason != tc.wantReason || len(got.Errors) != 1 || !strings.Contains(got.Errors[0], want) || !strings.Contains(got.Message, tc.wantMessage) {
			t.Errorf("%s: it ended so: %s\n  message: %s\n  errors: %q\nwant %s, with %q in the message and %q in the error",
				name, got.Reason, got.Message, got.Errors, tc.wantReason, tc.wantMessage, want)
		}
		if strings.Contains(got.Message, "hunter22secret") {
			t.Errorf("%s: a secret is told: %s", name, got.Message)
		}
	}
	// What was made in the second in which its run ended may be of the next one, for half a minute.
	eventually(t, soon, "no pod of a failed run is at work", func() bool { return len(working(t, ns)) == 0 })
}

// working are the pods of a namespace that have not ended.
func working(t *testing.T, namespace string) []string {
	t.Helper()
	var pods corev1.PodList
	if err := cluster.List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
		t.Fatalf("listing pods: %v", err)
	}
	var names []string
	for i := range pods.Items {
		if phase := pods.Items[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
			names = append(names, pods.Items[i].Name)
		}
	}
	return names
}

func TestANodeThatIsLostEndsARunEarly(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	create(t, healthCheck(ns, "lost", "unclaimed", "1h", "50m"))
	eventually(t, 2*soon, "the run fails", func() bool { return len(one.outcomes.of("lost")) == 1 })
	got := one.outcomes.of("lost")[0]
	if got.Reason != checkerpod.NodeLost || !strings.Contains(got.Message, "there is no such node any more") {
		t.Errorf("it ended so: %+v", got)
	}
	eventually(t, soon, "its pod is deleted", func() bool { return len(working(t, ns)) == 0 })
}

func TestARefusalThatPassesIsNoFailure(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	none := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
	create(t, quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	if err := cluster.Status().Update(t.Context(), quota); err != nil {
		t.Fatalf("writing the status of a quota: %v", err)
	}
	refused := func() bool {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "probe-"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "hang"}}}}
		return apierrors.IsForbidden(cluster.Create(t.Context(), pod, client.DryRunAll))
	}
	eventually(t, soon, "the quota holds", refused)
	create(t, khcheck(ns, "crowded", "ok", "1h", "10m"))
	eventually(t, soon, "the pod is refused twice", func() bool { return tally(one.wire.sent())["CREATE pods"] > 1 })
	if err := cluster.Delete(t.Context(), quota); err != nil {
		t.Fatalf("deleting a quota: %v", err)
	}
	eventually(t, 2*soon, "the run ends", func() bool { return len(one.outcomes.of("crowded")) == 1 })
	if got := one.outcomes.of("crowded")[0]; !got.OK {
		t.Errorf("it ended so: %s %s", got.Reason, got.Message)
	}
}

func TestARefusalByPodSecurityIsAFailureAtOnce(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))
	if err := cluster.Patch(t.Context(), labelled, patch); err != nil {
		t.Fatalf("labelling the namespace: %v", err)
	}
	create(t, khcheck(ns, "mighty", "ok", "1h", "1h"))
	eventually(t, soon, "the run fails", func() bool { return len(one.outcomes.of("mighty")) == 1 })
	got := one.outcomes.of("mighty")[0]
	if got.Reason != checkerpod.PodRefused || !strings.Contains(got.Message, `violates PodSecurity "restricted:latest"`) {
		t.Errorf("it ended so: %+v", got)
	}
	if n := tally(one.wire.sent())["CREATE pods"]; n != 1 {
		t.Errorf("%d attempts to make a pod, want 1", n)
	}
}

func TestAPodThatSomebodyDeletesIsAFailure(t *testing.T) {
	t.Parallel()
	ns, r := namespace(t), &ring{}
	play(t, ns, r)
	one := start(t, ns, r)
	create(t, khcheck(ns, "victim", "hang", "1h", "5m"))
	eventually(t, soon, "a pod", func() bool { return len(working(t, ns)) == 1 })
	if err := cluster.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(ns)); err != nil {
		t.Fatalf("deleting pods: %v", err)
	}
	eventually(t, soon, "the run fails", func() bool { return len(one.outcomes.of("victim")) == 1 })
	got := one.outcomes.of("victim")[0]
	if got.Reason != checkerpod.PodDeleted || !strings.HasPrefix(got.Errors[0], "Check execution error: pod deleted unexpectedly") {
		t.Errorf("it ended so: %+v", got)
	}
}

package podrun

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
)

func TestHowRunsEnd(t *testing.T) {
	t.Parallel()
	const success, failure, unknown = v1alpha1.ResultSuccess, v1alpha1.ResultFailure, v1alpha1.ResultUnknown
	cases := map[string]struct {
		image      string
		timeout    time.Duration
		want       v1alpha1.CheckResult
		wantReason checkerpod.Reason
		// wantMessage is to be in what is said.
		wantMessage string
		wantLog     bool
		// wantLeft is how many pods are left, before the result was recorded.
		wantLeft int
	}{
		"exit code 0":             {"ok", time.Minute, success, "", "", false, 1},
		"another exit code":       {"fail", time.Minute, failure, checkerpod.ReportedFailure, "container main ended with exit code 3: the shop is shut, password=", true, 1},
		"a pod that does not end": {"hang", 3 * time.Second, failure, checkerpod.Deadline, "container main was still at work when the timeout of 3s came", true, 0},
		"an image that is not there": {
			"pull", time.Minute, unknown, checkerpod.ImagePullFailed, "the image pull of container main cannot be had on node worker-1 (ImagePullBackOff)", false, 0,
		},
		"no node for it": {
			"pending", 3 * time.Second, unknown, checkerpod.Unschedulable, "(Unschedulable): 0/3 nodes are available: 3 Insufficient cpu", false, 0,
		},
		"too much memory": {"oom", time.Minute, unknown, checkerpod.OOMKilled, "(OOMKilled)", true, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, nil)
			play(t, ns)
			check := podCheck(t, ns, tc.image, nil)
			got := ends(t, start(t, ns, "", 0, false).begin(check, slot, tc.timeout))
			judged(t, got, tc.want, tc.wantReason, tc.wantMessage)
			if (got.result.LogTail != "") != tc.wantLog || strings.Contains(got.result.LogTail, "hunter22secret") {
				t.Errorf("the end of the log is %q, wanted: %t", got.result.LogTail, tc.wantLog)
			}
			eventually(t, "what was given up is gone, and the rest stays", func() bool { return len(left(t, ns)) == tc.wantLeft })
		})
	}
}

func judged(t *testing.T, got ran, want v1alpha1.CheckResult, reason checkerpod.Reason, message string) {
	t.Helper()
	if got.err != nil {
		t.Fatalf("the run ends with the error %v", got.err)
	}
	r := got.result
	if r.Result != want || r.Reason != string(reason) || !strings.Contains(r.Message, message) || (message == "") != (r.Message == "") {
		t.Errorf("it is %s for %q: %s\nwant %s for %q, with %q", r.Result, r.Reason, r.Message, want, reason, message)
	}
	if strings.Contains(r.Message, "hunter22secret") {
		t.Errorf("a secret is told: %s", r.Message)
	}
	if r.At.IsZero() || r.Target == "" {
		t.Errorf("it has no time, or no target: %+v", r)
	}
}

func TestHowScenariosEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		image       string
		want        v1alpha1.CheckResult
		wantReason  checkerpod.Reason
		wantMessage string
	}{
		"it passes":               {"checker:ok", v1alpha1.ResultSuccess, "", ""},
		"it fails":                {"checker:fail", v1alpha1.ResultFailure, checkerpod.ReportedFailure, "kubernetes.default is not resolved"},
		"a right is missing":      {"checker:unable", v1alpha1.ResultUnknown, podrun.Unable, "give it a Role with the verb list on the resource pods"},
		"it leaves no result":     {"ok", v1alpha1.ResultUnknown, checkerpod.NoReport, "ended well"},
		"it is killed for memory": {"oom", v1alpha1.ResultUnknown, checkerpod.OOMKilled, "(OOMKilled)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
			play(t, ns)
			check := scenario(t, ns, v1alpha1.SyntheticAction{
				Scenario: "dns", Parameters: map[string]v1alpha1.SyntheticParameter{"HOSTNAME": "kubernetes.default"}, ServiceAccountName: "default",
			})
			got := ends(t, start(t, ns, tc.image, 0, false).begin(check, slot, time.Minute))
			judged(t, got, tc.want, tc.wantReason, tc.wantMessage)
			pod := left(t, ns)[0]
			env := map[string]string{}
			for _, v := range pod.Spec.Containers[0].Env {
				env[v.Name] = v.Value
			}
			if env["HOSTNAME"] != "kubernetes.default" || env[kuberhealthy.EnvDeadline] == "" || strings.Join(pod.Spec.Containers[0].Args, " ") != "run dns" {
				t.Errorf("the pod runs %v with %v", pod.Spec.Containers[0].Args, env)
			}
			if got.result.Result == v1alpha1.ResultSuccess && got.result.Latency != 1500*time.Millisecond {
				t.Errorf("it took %s, want what the scenario says", got.result.Latency)
			}
		})
	}
}

func TestThePodOfARun(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	play(t, ns)
	check := podCheck(t, ns, "ok", func(template *corev1.PodTemplateSpec) {
		template.Labels = map[string]string{"team": "shop", v1alpha1.LabelRunOf: "forged"}
		template.Annotations = map[string]string{"note": "kept"}
		template.Finalizers = []string{"example.com/never"}
		template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	})
	ends(t, start(t, ns, "", 0, false).begin(check, slot, 90*time.Second))
	pod := left(t, ns)[0]
	if pod.Name != podrun.PodName(check, slot) || pod.Labels["team"] != "shop" || pod.Annotations["note"] != "kept" ||
		pod.Labels[v1alpha1.LabelRunOf] != string(check.UID) || pod.Labels[podrun.LabelCheck] != "shop.open" || len(pod.Finalizers) > 0 {
		t.Errorf("the pod is %s with labels %v, annotations %v, finalizers %v", pod.Name, pod.Labels, pod.Annotations, pod.Finalizers)
	}
	if pod.Spec.RestartPolicy != corev1.RestartPolicyNever || *pod.Spec.ActiveDeadlineSeconds != 90 {
		t.Errorf("it is started again %s, and ends after %d s", pod.Spec.RestartPolicy, *pod.Spec.ActiveDeadlineSeconds)
	}
	if owner := pod.OwnerReferences[0]; owner.UID != check.UID || !*owner.Controller || owner.Kind != "Check" {
		t.Errorf("its owner is %+v", owner)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		check func(t *testing.T, ns string) *v1alpha1.Check
		// wantReason, and what is to be in the message.
		wantReason, want, wantInstead string
	}{
		"a pod that is not valid": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Spec.Containers[0].Name = "Main" })
			},
			podrun.ReasonPodRefused, "spec.containers[0].name: Invalid value: \"Main\"", "mend spec.podTemplate",
		},
		"Pod Security": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Spec.HostNetwork = true })
			},
			podrun.ReasonPodRefused, `violates PodSecurity "baseline:latest"`, "write the securityContext",
		},
		"a ServiceAccount that is not there": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Spec.ServiceAccountName = "nobody" })
			},
			podrun.ReasonPodRefused, `serviceaccount "nobody" not found`, "kubectl create serviceaccount nobody -n ",
		},
		"a field that is misspelt": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				check := podCheck(t, ns, "ok", nil)
				patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"podTemplate":{"spec":{"containers":[{"name":"main","image":"ok","comand":["true"]}]}}}}`))
				if err := cluster.Patch(t.Context(), check, patch); err != nil {
					t.Fatal(err)
				}
				return check
			},
			podrun.ReasonPodRefused, `unknown field "spec.containers[0].comand"`, "mend spec.podTemplate",
		},
		"a template that is none": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				check := podCheck(t, ns, "ok", nil)
				// What is read is what is stored: the patch's answer is none that could be decoded.
				stored := &unstructured.Unstructured{}
				stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Check"))
				stored.SetNamespace(ns)
				stored.SetName(check.Name)
				if err := cluster.Patch(t.Context(), stored, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"podTemplate":{"spec":{"containers":"ok"}}}}`))); err != nil {
					t.Fatal(err)
				}
				return check
			},
			podrun.ReasonInvalidTemplate, "is no pod template", "kubectl explain",
		},
		"a quota that is used up": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				none := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
				quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
				create(t, quota)
				quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
				if err := cluster.Status().Update(t.Context(), quota); err != nil {
					t.Fatal(err)
				}
				return podCheck(t, ns, "ok", nil)
			},
			podrun.ReasonPodRefused, "a ResourceQuota of the namespace refuses it", "larger ResourceQuota",
		},
		"a pod that never ends": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways })
			},
			podrun.ReasonInvalidTemplate, "restartPolicy Always", "write Never, or leave it out",
		},
		"another namespace": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Namespace = "kube-system" })
			},
			podrun.ReasonInvalidTemplate, "names the namespace kube-system", "leave out",
		},
		"no containers": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return podCheck(t, ns, "ok", func(p *corev1.PodTemplateSpec) { p.Spec.Containers = nil })
			},
			podrun.ReasonInvalidTemplate, "has no containers", "write spec.podTemplate.spec.containers",
		},
		"a scenario that is none": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return scenario(t, ns, v1alpha1.SyntheticAction{Scenario: "magic"})
			},
			podrun.ReasonUnknownScenario, `no scenario "magic"`, "daemonset, deployment, dns",
		},
		"a parameter that is none": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return scenario(t, ns, v1alpha1.SyntheticAction{Scenario: "dns", Parameters: map[string]v1alpha1.SyntheticParameter{"HOST": "a"}})
			},
			podrun.ReasonUnknownParameter, "no parameter HOST", "HOSTNAME",
		},
		"an image of another version": {
			func(t *testing.T, ns string) *v1alpha1.Check {
				return scenario(t, ns, v1alpha1.SyntheticAction{Scenario: "dns"})
			},
			podrun.ReasonUnknownScenario, "the image checker:old has no scenario dns", "--checker-image",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
			play(t, ns)
			got := ends(t, start(t, ns, "checker:old", 0, false).begin(tc.check(t, ns), slot, 3*time.Second))
			refusal, ok := errors.AsType[*plan.Refusal](got.err)
			if !ok {
				t.Fatalf("it is %+v (%v), and no refusal", got.result, got.err)
			}
			if refusal.Reason != tc.wantReason || !strings.Contains(refusal.Message, tc.want) || !strings.Contains(refusal.Message, tc.wantInstead) {
				t.Errorf("it is refused as %s: %s\nwant %s, with %q and %q", refusal.Reason, refusal.Message, tc.wantReason, tc.want, tc.wantInstead)
			}
		})
	}
}

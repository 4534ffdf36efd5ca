package probe

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// TestJobs holds that a Job's pods are found by its name, and a CronJob's by that of the Job which it made last.
func TestJobs(t *testing.T) {
	(&kubelet{}).start(t, "w9")
	namespace(t, "jobs")
	all, err := client.New(environment.Config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	c := readiness("copy", get("/", 8080))
	c.Image = "example.com/app:1"
	spec := batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{c}}}}
	nightly := &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: "jobs", Name: "nightly"},
		Spec:       batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: spec}},
	}
	if err := all.Create(t.Context(), nightly); err != nil {
		t.Fatal(err)
	}
	run := func(want exit.Code, target, says string) {
		t.Helper()
		var out, errOut output
		code := maek(t.Context(), &out, &errOut, "probe", target, "-n", "jobs", "--no-ask", "--kubeconfig", administrator(t))
		if got := out.String() + errOut.String(); code != want || !strings.Contains(got, says) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s", target, code, want, says, got)
		}
	}
	run(exit.Usage, "cj/nightly", "CronJob jobs/nightly has no pods; none has begun")
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "jobs", Name: "nightly-1", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "batch/v1", Kind: "CronJob", Name: nightly.Name, UID: nightly.UID, Controller: new(true)},
	}}, Spec: *spec.DeepCopy()}
	if err := all.Create(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	p := pod(t, "jobs", "nightly-1-x", "w9", nil, c)
	p.Labels = job.Spec.Template.Labels
	update(t, p)
	run(exit.OK, "job/nightly-1", "Pod jobs/nightly-1-x")
	run(exit.OK, "cronjob/nightly", "Pod jobs/nightly-1-x")
	run(exit.Usage, "job/gone", "there is no Job jobs/gone")
	run(exit.Usage, "cj/gone", "there is no CronJob jobs/gone")
}

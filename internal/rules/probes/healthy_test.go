package probes_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules/probes"
	"github.com/maek-dev/maek/internal/rules/ruletest"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Charts and operators that thousands of clusters run, with the probes that they come with, and pods that have
// served for a day: of them nothing is said but the remarks that stand in the file. Whoever sees more than those
// on a healthy cluster reads no audit twice.
func TestCommonChartsAreLeftAlone(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "healthy", "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			result := rule.Evaluate(t.Context(), running(ruletest.Objects(t, path)), probes.Catalog.Rules(), nil, rule.Budget{})
			for _, f := range result.Failures {
				t.Errorf("%s: %v", f.Code, f.Err)
			}
			var got []string
			for _, f := range result.Findings {
				got = append(got, fmt.Sprintf("%s %s %s %s/%s %s", f.Severity, f.Code, f.Subject.Kind, f.Subject.Namespace, f.Subject.Name, f.Field))
			}
			slices.Sort(got)
			var want []string
			for line := range strings.Lines(string(archive.Files[len(archive.Files)-1].Data)) {
				want = append(want, strings.TrimSpace(line))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("remarks (-want +got):\n%s", diff)
			}
		})
	}
}

// running has for each workload the pods that its controllers make, Ready for a day, on nodes of their own, and is
// otherwise the same.
func running(s *snapshot.Snapshot) *snapshot.Snapshot {
	b := snapshot.NewBuilder(s.Now(), s.Source())
	since := metav1.NewTime(s.Now().Add(-24 * time.Hour))
	workload := func(o snapshot.Object, kind string, template corev1.PodTemplateSpec, replicas int32) {
		uid := types.UID(o.GetNamespace() + "-" + o.GetName() + "-u")
		o.SetUID(uid)
		o.SetCreationTimestamp(since)
		owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: o.GetName(), UID: uid, Controller: new(true)}
		if kind == "Deployment" {
			set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
				Namespace: o.GetNamespace(), Name: o.GetName() + "-7d9f", UID: uid + "-rs", CreationTimestamp: since, OwnerReferences: []metav1.OwnerReference{owner},
			}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Template: template}}
			b.Add(set)
			owner = metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: set.Name, UID: set.UID, Controller: new(true)}
		}
		for i := range replicas {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
				Namespace: o.GetNamespace(), Name: fmt.Sprintf("%s-%d", owner.Name, i), UID: types.UID(fmt.Sprintf("%s-%d", uid, i)), CreationTimestamp: since,
				Labels: template.Labels, Annotations: template.Annotations, OwnerReferences: []metav1.OwnerReference{owner},
			}, Spec: *template.Spec.DeepCopy()}
			pod.Spec.NodeName = fmt.Sprintf("w%d", i+1)
			b.Add(ready(pod, since))
		}
	}
	for _, k := range s.Kinds() {
		b.SetCoverage(k, s.Coverage(k))
		s.Each(k, func(o snapshot.Object) {
			switch o := o.(type) {
			case *appsv1.Deployment:
				workload(o, "Deployment", o.Spec.Template, *o.Spec.Replicas)
			case *appsv1.StatefulSet:
				workload(o, "StatefulSet", o.Spec.Template, *o.Spec.Replicas)
			case *appsv1.DaemonSet:
				workload(o, "DaemonSet", o.Spec.Template, 2)
			case *corev1.Pod:
				o.CreationTimestamp = since
				ready(o, since)
			}
			b.Add(o)
		})
	}
	return b.Build()
}

// ready is a pod all of whose containers have answered since a moment.
func ready(pod *corev1.Pod, since metav1.Time) *corev1.Pod {
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &since
	pod.Status.PodIP, pod.Status.HostIP = "10.244.1.5", "192.168.10.1"
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: since})
	}
	up := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Ready: true, Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}}}
	}
	for _, c := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, up(c.Name))
	}
	for _, c := range pod.Spec.InitContainers {
		status := up(c.Name)
		if c.RestartPolicy == nil {
			status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: since, FinishedAt: since}}
		}
		pod.Status.InitContainerStatuses = append(pod.Status.InitContainerStatuses, status)
	}
	return pod
}

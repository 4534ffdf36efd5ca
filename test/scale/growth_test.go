package scale

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/maek-dev/maek/bench/world"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// times is how much larger the second cluster of a comparison is than the first.
	times = 4
	// growth is by how much more processor time its diagnosis may take. What grows with the square takes
	// sixteen times as much, what grows with the cluster four times, and other work on the machine makes
	// that six or seven.
	growth = 10
)

// now of all clusters here, and then, when their trouble began.
var (
	now  = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	then = metav1.NewTime(now.Add(-40 * time.Minute))
)

// TestGrowth diagnoses clusters of one kind of trouble in two sizes: what it costs must grow with the
// cluster, and not with its square. It compares processor time within one run, and no time with a
// clock.
func TestGrowth(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	tests := map[string]struct {
		size  int
		build func(b *snapshot.Builder, n int)
	}{
		"pods whose images do not exist, each behind a Service that has a label in common with all": {2000, imagesNotFound},
		"Jobs of one CronJob that failed, and CronJobs that fail":                                   {2000, failedJobs},
		"events about one pod, and about pods that are gone":                                        {8000, manyEvents},
		"owners that own each other, and owners that are not there":                                 {3000, circularOwners},
		"pods that refer to what does not exist":                                                    {2000, danglingReferences},
		"NetworkPolicies that let nobody in, one for each pod":                                      {1000, closedPolicies},
		"pods that wait for claims":                                                                 {1500, waitingClaims},
		"pods of one workload that nobody places":                                                   {3000, unplacedPods},
		"Services that select the same pods, none of them ready":                                    {60, sameSelector},
		"disruption budgets that nothing fits":                                                      {2000, budgets},
		"machines whose agents report, all well":                                                    {100, machines},
		"machines of which every tenth is cut off":                                                  {100, cutMachines},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			small, large := cost(t, tc.size, tc.build), cost(t, times*tc.size, tc.build)
			if ratio := large.Seconds() / small.Seconds(); ratio > growth {
				t.Errorf("%d times as much takes %.1f times the processor time (%s after %s), want at most %d times", times, ratio, large, small, growth)
			}
		})
	}
}

// cost is the processor time of a diagnosis, the least of a few tries: what else runs only adds to it.
func cost(t *testing.T, n int, build func(*snapshot.Builder, int)) time.Duration {
	t.Helper()
	all := rules.All()
	var least time.Duration
	for range 2 {
		b := snapshot.NewBuilder(now, snapshot.Source{})
		for _, k := range rule.Kinds(all) {
			b.SetCoverage(k, snapshot.Coverage{State: snapshot.Complete})
		}
		build(b, n)
		s := b.Build()
		runtime.GC()
		before := processorTime(t)
		d := diagnosis.Diagnose(rule.Evaluate(t.Context(), s, all, nil, rule.DefaultBudget), all)
		spent := processorTime(t) - before
		for _, f := range d.Failures {
			t.Error(f.Err)
		}
		if least == 0 || spent < least {
			least = spent
		}
	}
	return least
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: then}
}

func ownedBy(m metav1.ObjectMeta, kind, name string) metav1.ObjectMeta {
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, Controller: new(true)}}
	return m
}

func labeled(m metav1.ObjectMeta, labels map[string]string) metav1.ObjectMeta {
	m.Labels = labels
	return m
}

// waitingPod is a pod whose only container waits.
func waitingPod(m metav1.ObjectMeta, reason, message string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: m,
		Spec:       corev1.PodSpec{NodeName: "w1", Containers: []corev1.Container{{Name: "app", Image: "registry.example/" + m.Name + ":1"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodPending, StartTime: &then,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: then},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: then},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}},
		},
	}
}

// pendingPod is a pod that the scheduler could not place.
func pendingPod(m metav1.ObjectMeta, message string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: m,
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message, LastTransitionTime: then,
		}}},
	}
}

func service(name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{
		Selector: selector, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080), Protocol: corev1.ProtocolTCP}},
	}}
}

func deployment(name string, labels map[string]string, replicas int) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: meta(name),
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(replicas)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}},
		},
		Status: appsv1.DeploymentStatus{Replicas: int32(replicas), UpdatedReplicas: int32(replicas), UnavailableReplicas: int32(replicas)},
	}
}

func imagesNotFound(b *snapshot.Builder, n int) {
	for i := range n {
		app := fmt.Sprintf("app-%d", i)
		labels := map[string]string{"tier": "web", "app": app}
		b.Add(waitingPod(labeled(ownedBy(meta(app+"-x"), "ReplicaSet", app), labels), "ImagePullBackOff",
			`Back-off pulling image: ErrImagePull: failed to resolve image: registry.example/x:1: not found`))
		b.Add(&appsv1.ReplicaSet{ObjectMeta: ownedBy(meta(app), "Deployment", app), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(1))}, Status: appsv1.ReplicaSetStatus{Replicas: 1}})
		b.Add(deployment(app, labels, 1))
		b.Add(service(app, labels))
	}
}

func failedJobs(b *snapshot.Builder, n int) {
	failed := batchv1.JobStatus{Failed: 1, StartTime: &then, Conditions: []batchv1.JobCondition{
		{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", LastTransitionTime: then},
	}}
	pod := func(job string) *corev1.Pod {
		p := waitingPod(ownedBy(meta(job+"-x"), "Job", job), "", "")
		p.Spec.RestartPolicy, p.Status.Phase = corev1.RestartPolicyNever, corev1.PodFailed
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", FinishedAt: then}}
		return p
	}
	b.Add(&batchv1.CronJob{ObjectMeta: meta("often"), Spec: batchv1.CronJobSpec{Schedule: "* * * * *"}, Status: batchv1.CronJobStatus{LastScheduleTime: &then}})
	for i := range n {
		often, own := fmt.Sprintf("often-%d", i), fmt.Sprintf("own-%d", i)
		b.Add(&batchv1.Job{ObjectMeta: ownedBy(meta(often), "CronJob", "often"), Status: failed})
		b.Add(pod(often))
		b.Add(&batchv1.CronJob{ObjectMeta: meta(own), Spec: batchv1.CronJobSpec{Schedule: "0 * * * *"}, Status: batchv1.CronJobStatus{LastScheduleTime: &then}})
		b.Add(&batchv1.Job{ObjectMeta: ownedBy(meta(own), "CronJob", own), Status: failed})
		b.Add(pod(own))
	}
}

func manyEvents(b *snapshot.Builder, n int) {
	b.Add(waitingPod(meta("talked-about"), "CrashLoopBackOff", "back-off"))
	for i := range n {
		about := "talked-about"
		if i%2 == 0 {
			about = fmt.Sprintf("gone-%d", i)
		}
		reason := []string{"BackOff", "Unhealthy", "FailedScheduling", "FailedMount", "FailedCreate", "Failed", "FailedCreatePodSandBox"}[i%7]
		b.Add(&corev1.Event{
			ObjectMeta: meta(fmt.Sprintf("event-%d", i)), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: about},
			Type: corev1.EventTypeWarning, Reason: reason, Message: fmt.Sprintf("it failed for the %dth time", i),
			FirstTimestamp: then, LastTimestamp: metav1.NewTime(now.Add(-time.Duration(i%600) * time.Second)),
		})
	}
}

func circularOwners(b *snapshot.Builder, n int) {
	for i := range n {
		name, next := fmt.Sprintf("set-%d", i), fmt.Sprintf("set-%d", (i+1)%n)
		b.Add(&appsv1.ReplicaSet{ObjectMeta: ownedBy(meta(name), "ReplicaSet", next), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(1))}})
		b.Add(&appsv1.StatefulSet{ObjectMeta: ownedBy(meta(name), "StatefulSet", next), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(1))}})
		b.Add(waitingPod(ownedBy(meta(name), "ReplicaSet", name), "CreateContainerError", "no"))
		b.Add(waitingPod(ownedBy(meta(name+"-orphan"), "Job", "gone-"+name), "CreateContainerError", "no"))
	}
}

func danglingReferences(b *snapshot.Builder, n int) {
	for i := range n {
		name := fmt.Sprintf("pod-%d", i)
		p := waitingPod(meta(name), "CreateContainerConfigError", fmt.Sprintf(`configmap "settings-%d" not found`, i))
		p.Spec.ServiceAccountName = "account-" + name
		p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "pull-" + name}}
		p.Spec.Volumes = []corev1.Volume{
			{Name: "a", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "secret-" + name}}},
			{Name: "b", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim-" + name}}},
		}
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: fmt.Sprintf("settings-%d", i)}}}}
		b.Add(p)
		b.Add(&networkingv1.Ingress{ObjectMeta: meta(name), Spec: networkingv1.IngressSpec{
			TLS:            []networkingv1.IngressTLS{{SecretName: "tls-" + name}},
			DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "gone-" + name, Port: networkingv1.ServiceBackendPort{Number: 80}}},
		}})
	}
}

func closedPolicies(b *snapshot.Builder, n int) {
	for i := range n {
		app := fmt.Sprintf("app-%d", i)
		labels := map[string]string{"tier": "web", "app": app}
		p := waitingPod(labeled(meta(app), labels), "", "")
		p.Status.Phase = corev1.PodRunning
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: then}}
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "BACKEND_URL", Value: fmt.Sprintf("http://app-%d:80", (i+1)%n)}}
		b.Add(p)
		b.Add(service(app, labels))
		b.Add(&networkingv1.NetworkPolicy{ObjectMeta: meta(app), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Egress:      []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "nobody"}}}}}},
		}})
	}
}

func waitingClaims(b *snapshot.Builder, n int) {
	for i := range n {
		name := fmt.Sprintf("db-%d", i)
		p := pendingPod(ownedBy(meta(name), "StatefulSet", name), "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data-" + name}}}}
		b.Add(p)
		b.Add(&corev1.PersistentVolumeClaim{
			ObjectMeta: meta("data-" + name),
			Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: new([]string{"fast", "slow"}[i%2]), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}},
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
		})
		b.Add(&appsv1.StatefulSet{ObjectMeta: meta(name), Spec: appsv1.StatefulSetSpec{Replicas: new(int32(1))}, Status: appsv1.StatefulSetStatus{Replicas: 1}})
	}
}

func unplacedPods(b *snapshot.Builder, n int) {
	b.Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1", CreationTimestamp: then}, Spec: corev1.NodeSpec{Unschedulable: true}})
	for i := range n {
		b.Add(pendingPod(ownedBy(meta(fmt.Sprintf("job-%d", i)), "ReplicaSet", fmt.Sprintf("set-%d", i%100)),
			fmt.Sprintf("0/1 nodes are available: 1 node(s) were unschedulable. preemption: not helpful %d.", i)))
	}
}

func sameSelector(b *snapshot.Builder, n int) {
	labels := map[string]string{"app": "one"}
	for i := range n {
		b.Add(service(fmt.Sprintf("svc-%d", i), labels))
	}
	for i := range 2000 {
		b.Add(waitingPod(labeled(ownedBy(meta(fmt.Sprintf("one-%d", i)), "ReplicaSet", "one"), labels), "CreateContainerError", "no"))
	}
}

func budgets(b *snapshot.Builder, n int) {
	for i := range n {
		app := fmt.Sprintf("app-%d", i)
		labels := map[string]string{"tier": "web", "app": app}
		b.Add(waitingPod(labeled(ownedBy(meta(app), "ReplicaSet", app), labels), "CreateContainerError", "no"))
		b.Add(&policyv1.PodDisruptionBudget{
			ObjectMeta: meta(app),
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels}},
			Status:     policyv1.PodDisruptionBudgetStatus{ExpectedPods: 1, DesiredHealthy: 1},
		})
	}
}

// machines is a world of machines with 10 pods each, and all their agents' reports.
func machines(b *snapshot.Builder, n int) { addMachines(b, n, func(*snapshot.MachineReport) {}) }

// cutMachines is such a world in which nothing has come from every tenth machine for 40 minutes, as its
// peers tell.
func cutMachines(b *snapshot.Builder, n int) {
	addMachines(b, n, func(r *snapshot.MachineReport) {
		for i := range r.Evidence {
			e := &r.Evidence[i]
			segments := e.Key.Segments()
			if len(segments) != 4 || segments[0] != "mesh" || !strings.HasSuffix(segments[2], "0") {
				continue
			}
			switch at := then; {
			case strings.HasSuffix(segments[3], "-loss"):
				e.Value, e.At = "1", &at
			case strings.HasSuffix(segments[3], "-tcp"):
				e.Value, e.At = "timeout", &at
			case strings.HasSuffix(segments[3], "-in-age"):
				e.Value = "2400"
			}
		}
	})
}

func addMachines(b *snapshot.Builder, n int, change func(*snapshot.MachineReport)) {
	w := world.New(world.Size{Nodes: n, Deployments: n, PodsPerDeployment: 10, Namespaces: 10}, now)
	w.Each(func(o metav1.Object) {
		if obj, ok := o.(snapshot.Object); ok {
			b.Add(obj)
		}
	})
	// The recorded report is a part of this package's code.
	_ = w.Machines(func(r snapshot.MachineReport) {
		change(&r)
		b.AddMachine(r)
	})
}

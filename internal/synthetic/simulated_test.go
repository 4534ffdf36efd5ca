package synthetic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maek-dev/maek/internal/snapshot"
	"github.com/maek-dev/maek/internal/synthetic/stage"
)

// simulated is a cluster in memory with the least of controllers, scheduler and kubelets: they act while
// a request is being answered, so that nothing is left to chance.
type simulated struct {
	client.WithWatch
	base client.WithWatch
	// kubelet gives a pod that has a node its status; nil makes it run and be ready.
	kubelet func(*corev1.Pod)
	// dead are nodes whose kubelets say and do nothing: their pods stay as they are.
	dead map[string]bool
	// keepPods has the garbage collector stand still.
	keepPods bool
	// rolling is how long a Deployment takes to make its new pods.
	rolling time.Duration
	// address that Services get.
	address string
	mu      sync.Mutex
	serial  int
}

const checks = "checks"

// unended holds a deleted pod in place of its kubelet, until it is deleted without one.
const unended = "example.com/unended"

var simulatedScheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, storagev1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
})

func newSimulated(t *testing.T, objects ...client.Object) *simulated {
	t.Helper()
	objects = append(objects, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: checks, Name: "checker", UID: "checker-uid"}})
	s := &simulated{address: "127.0.0.1"}
	s.base = (&journal{}).over(fake.NewClientBuilder().WithScheme(simulatedScheme()).WithObjects(objects...).
		WithIndex(&corev1.Event{}, stage.EventUID, func(o client.Object) []string {
			e, _ := o.(*corev1.Event)
			return []string{string(e.InvolvedObject.UID)}
		}).
		WithIndex(&corev1.PersistentVolume{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).
		Build())
	s.WithWatch = interceptor.NewClient(s.base, interceptor.Funcs{Create: s.create, Delete: s.remove, Patch: s.patch})
	return s
}

func node(name string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/os": "linux"}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	for _, c := range change {
		c(n)
	}
	return n
}

func tainted(key, value string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: effect})
	}
}

func (s *simulated) create(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	s.mu.Lock()
	s.serial++
	o.SetUID(types.UID(fmt.Sprintf("uid-%d", s.serial)))
	s.mu.Unlock()
	o.SetCreationTimestamp(metav1.NewTime(time.Now())) //nolint:forbidigo // the time of the bubble
	o.SetGeneration(1)
	if service, ok := o.(*corev1.Service); ok {
		service.Spec.ClusterIP = s.address
	}
	if err := c.Create(ctx, o, opts...); err != nil {
		return err
	}
	switch o := o.(type) {
	case *corev1.Pod:
		return s.run(ctx, c, o)
	case *appsv1.DaemonSet:
		return s.daemonSet(ctx, c, o)
	case *appsv1.Deployment:
		return s.deployment(ctx, c, o)
	case *batchv1.Job:
		return s.pod(ctx, c, o, o.Spec.Template, 0, "")
	case *corev1.PersistentVolumeClaim:
		return s.bind(ctx, c, o)
	}
	return nil
}

// pod makes one for an owner, as its controller would.
func (s *simulated) pod(ctx context.Context, c client.WithWatch, owner client.Object, template corev1.PodTemplateSpec, i int, nodeName string) error {
	p := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	p.Namespace, p.Name = owner.GetNamespace(), owner.GetName()+"-"+strconv.Itoa(i)+"-"+strconv.FormatInt(owner.GetGeneration(), 10)
	p.UID = types.UID(p.Name + "-uid")
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Owner", Name: owner.GetName(), UID: owner.GetUID()}}
	if nodeName != "" {
		p.Spec.Affinity = onNode(corev1.NodeSelectorOpIn, nodeName)
	}
	if err := c.Create(ctx, p); err != nil {
		return err
	}
	return s.run(ctx, c, p)
}

// run is the scheduler, which takes the first node that fits, and the kubelet.
func (s *simulated) run(ctx context.Context, c client.WithWatch, p *corev1.Pod) error {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return err
	}
	for i := range nodes.Items {
		if p.Spec.NodeName == "" && snapshot.NodeWanted(p, &nodes.Items[i]) {
			p.Spec.NodeName = nodes.Items[i].Name
		}
	}
	switch {
	case s.dead[p.Spec.NodeName]:
		p.Status.Phase, p.Finalizers = corev1.PodPending, []string{unended}
	case s.kubelet != nil:
		s.kubelet(p)
	default:
		ready(p)
	}
	return persist(ctx, c, p)
}

// persist writes an object and its status, which are two requests.
func persist(ctx context.Context, c client.Client, o client.Object) error {
	withStatus, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("no copy of %T", o)
	}
	if err := c.Update(ctx, o); err != nil {
		return err
	}
	withStatus.SetResourceVersion(o.GetResourceVersion())
	if err := c.Status().Update(ctx, withStatus); err != nil {
		return err
	}
	o.SetResourceVersion(withStatus.GetResourceVersion())
	return nil
}

// ready is a pod that runs, or where it is a Job's has ended well.
func ready(p *corev1.Pod) {
	if p.Labels[labelStep] != "" {
		p.Status.Phase = corev1.PodSucceeded
		return
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
}

// waits is a pod whose container waits.
func waits(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodPending
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}}}
	}
}

func (s *simulated) daemonSet(ctx context.Context, c client.WithWatch, d *appsv1.DaemonSet) error {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return err
	}
	template := &corev1.Pod{Spec: d.Spec.Template.Spec}
	made := 0
next:
	for i := range nodes.Items {
		n := &nodes.Items[i]
		for j := range n.Spec.Taints {
			if !snapshot.Tolerates(template, &n.Spec.Taints[j]) && n.Spec.Taints[j].Key != corev1.TaintNodeUnschedulable {
				continue next
			}
		}
		if !snapshot.NodeWanted(template, n) {
			continue
		}
		made++
		if err := s.pod(ctx, c, d, d.Spec.Template, i, n.Name); err != nil {
			return err
		}
	}
	d.Status.ObservedGeneration, d.Status.DesiredNumberScheduled = d.Generation, int32(made)
	return persist(ctx, c, d)
}

func (s *simulated) deployment(ctx context.Context, c client.WithWatch, d *appsv1.Deployment) error {
	want := *d.Spec.Replicas
	well := int32(0)
	for i := range int(want) {
		if err := s.pod(ctx, c, d, d.Spec.Template, i, ""); err != nil {
			return err
		}
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.MatchingLabels(d.Spec.Selector.MatchLabels)); err != nil {
		return err
	}
	for i := range pods.Items {
		if snapshot.PodReady(&pods.Items[i]) {
			well++
		}
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: want, UpdatedReplicas: want, ReadyReplicas: well, AvailableReplicas: well, UnavailableReplicas: want - well}
	return persist(ctx, c, d)
}

func (s *simulated) bind(ctx context.Context, c client.WithWatch, claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == "dead" {
		claim.Status.Phase = corev1.ClaimPending
		return persist(ctx, c, claim)
	}
	claim.Spec.VolumeName, claim.Status.Phase = "pv-"+claim.Name, corev1.ClaimBound
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: claim.Spec.VolumeName}}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	if err := c.Create(ctx, pv); err != nil {
		return err
	}
	return persist(ctx, c, claim)
}

func (s *simulated) patch(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := c.Patch(ctx, o, patch, opts...); err != nil {
		return err
	}
	d, ok := o.(*appsv1.Deployment)
	if !ok {
		return nil
	}
	if err := s.collect(ctx, c, d); err != nil {
		return err
	}
	d.Generation++
	if s.rolling == 0 {
		return s.deployment(ctx, c, d)
	}
	old := d.DeepCopy()
	old.Status.UpdatedReplicas, old.Status.ObservedGeneration = 0, d.Generation
	if err := persist(ctx, c, old); err != nil {
		return err
	}
	d.ResourceVersion = old.ResourceVersion
	later := old.DeepCopy()
	go func() {
		<-time.After(s.rolling)
		if err := s.deployment(context.WithoutCancel(ctx), c, later); err != nil {
			panic(err)
		}
	}()
	return nil
}

func (s *simulated) remove(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	given := (&client.DeleteOptions{}).ApplyOptions(opts)
	if p, ok := o.(*corev1.Pod); ok && len(p.Finalizers) > 0 && given.GracePeriodSeconds != nil && *given.GracePeriodSeconds == 0 {
		free := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := client.IgnoreNotFound(c.Patch(ctx, p.DeepCopy(), free)); err != nil {
			return err
		}
		return client.IgnoreNotFound(c.Delete(ctx, p, opts...))
	}
	if err := c.Delete(ctx, o, opts...); err != nil {
		return err
	}
	if claim, ok := o.(*corev1.PersistentVolumeClaim); ok {
		return client.IgnoreNotFound(c.Delete(ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + claim.Name}}))
	}
	if s.keepPods {
		return nil
	}
	return s.collect(ctx, c, o)
}

// collect is the garbage collector.
func (s *simulated) collect(ctx context.Context, c client.WithWatch, owner client.Object) error {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(owner.GetNamespace())); err != nil {
		return err
	}
	for i := range pods.Items {
		refs := pods.Items[i].OwnerReferences
		if len(refs) == 1 && refs[0].Kind == "Owner" && refs[0].Name == owner.GetName() {
			if err := client.IgnoreNotFound(c.Delete(ctx, &pods.Items[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// environment is one in which a scenario runs in the pod "checker".
func (s *simulated) environment(options map[string]string) Environment {
	return Environment{
		Client: s, Getenv: func(name string) string { return options[name] }, Namespace: checks, Pod: "checker", Node: "n1",
		Image: "maek-checker:test", RunID: "abc123", Grace: 30 * time.Second, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
	}
}

// left names everything in the cluster that a scenario has made.
func (s *simulated) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, list := range []client.ObjectList{
		&corev1.PodList{}, &corev1.ServiceList{}, &appsv1.DeploymentList{}, &appsv1.DaemonSetList{}, &batchv1.JobList{},
		&corev1.PersistentVolumeClaimList{}, &corev1.SecretList{},
	} {
		if err := s.base.List(t.Context(), list, client.MatchingLabels{stage.LabelManagedBy: stage.ManagedBy}); err != nil {
			t.Fatal(err)
		}
		if err := eachObject(list, func(o client.Object) { left = append(left, fmt.Sprintf("%T %s", o, o.GetName())) }); err != nil {
			t.Fatal(err)
		}
	}
	return left
}

// noDial refuses connections.
func noDial(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
}

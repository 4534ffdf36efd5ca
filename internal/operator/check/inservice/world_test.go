package inservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// noon is when the tests begin.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// world is a namespace shop with a Deployment web behind a Service web, a check of its pods and a policy, with
// the kubelet and the endpoints controller played by kubelet. Its API server keeps versions as a real one does.
type world struct {
	t      *testing.T
	api    client.WithWatch
	policy *v1alpha1.CheckPolicy
	check  *v1alpha1.Check
	// replicas that are alive.
	replicas []*replica
	// broken are pods that fail the check, and unready those whose containers are not ready.
	broken, unready map[string]bool
	// onLedger is called before a replica writes the ledger, and onTake after a pod's condition has become
	// False; onPatch may refuse a patch, and onList a list that the API server is asked for.
	onLedger func()
	onTake   func(name string)
	onPatch  func() error
	onList   func(client.ObjectList) error
	made     int
	// workloads that new pods belong to in turn; none stands for one Deployment.
	workloads int
	// mirror are all pods, unless something was written since: to list is slow here.
	mirror []corev1.Pod
	// mu guards mirror, and onPatch while it is called: pods are patched side by side.
	mu sync.Mutex
	// step of pass; zero stands for a second.
	step time.Duration
	// passed is how much time has passed.
	passed time.Duration
}

func newWorld(t *testing.T, pods int) *world {
	t.Helper()
	return newWorldOf(t, pods, 0)
}

func newWorldOf(t *testing.T, pods, workloads int) *world {
	t.Helper()
	w := &world{t: t, workloads: workloads, broken: map[string]bool{}, unready: map[string]bool{}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w.policy = &v1alpha1.CheckPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "shops"},
		Spec: v1alpha1.CheckPolicySpec{TakeOutOfService: &v1alpha1.TakeOutOfServicePolicy{
			Mode: v1alpha1.ModeEnforce, MaxFailingPercent: 30, MaxOut: 5, SecondsApart: 60, MaxSeconds: 600, MaxTimesADay: 3,
		}},
	}
	w.check = &v1alpha1.Check{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "check-web", Generation: 1},
		Spec: v1alpha1.CheckSpec{
			PeriodSeconds: 10, FailureThreshold: 3, SuccessThreshold: 1,
			TakeOutOfService: &v1alpha1.TakeOutOfService{Mode: v1alpha1.ModeEnforce, MinReadyPercent: 50},
		},
	}
	byName := func(o client.Object) []string { return []string{o.GetName()} }
	w.api = fake.NewClientBuilder().WithScheme(scheme).WithIndex(&corev1.Node{}, "metadata.name", byName).WithStatusSubresource(&corev1.Pod{}, &v1alpha1.Check{}).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if w.onList != nil {
				if err := w.onList(list); err != nil {
					return err
				}
			}
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			w.changed()
			return c.Create(ctx, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			w.changed()
			return c.Delete(ctx, obj, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			w.changed()
			return c.SubResource(sub).Update(ctx, obj, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			if _, ok := obj.(*coordinationv1.Lease); ok && w.onLedger != nil {
				w.onLedger()
			}
			w.changed()
			return c.Update(ctx, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if w.onPatch != nil {
				w.mu.Lock()
				err := w.onPatch()
				w.mu.Unlock()
				if err != nil {
					return err
				}
			}
			was := w.gate(obj.GetName())
			err := c.SubResource(sub).Patch(ctx, obj, patch, opts...)
			w.changed()
			if err != nil {
				return err
			}
			if w.onTake != nil && was != corev1.ConditionFalse && w.gate(obj.GetName()) == corev1.ConditionFalse {
				w.onTake(obj.GetName())
			}
			return nil
		},
	}).Build()
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	w.create(w.policy)
	w.create(w.check)
	w.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}})
	w.create(&discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
	})
	for range pods {
		w.addPod(noon.Add(-time.Hour), true)
	}
	w.kubelet()
	return w
}

func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := w.api.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(obj client.Object) {
	w.t.Helper()
	if err := w.api.Update(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

// addPod makes one more pod of the Deployment.
func (w *world) addPod(created time.Time, gated bool) string {
	w.made++
	name := fmt.Sprintf("web-%d", w.made)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web", "pod-template-hash": "5d9c"},
			CreationTimestamp: metav1.NewTime(created),
			OwnerReferences:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d9c", UID: "rs", Controller: new(true)}},
		},
		Spec:   corev1.PodSpec{NodeName: "node-" + name},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	w.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: p.Spec.NodeName}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}})
	if w.workloads > 0 {
		delete(p.Labels, "pod-template-hash")
		p.OwnerReferences[0].Name = fmt.Sprintf("web-%d", w.made%w.workloads)
	}
	if gated {
		p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.ReadinessGateInService}}
	}
	w.create(p)
	return name
}

// changed tells that something was written.
func (w *world) changed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mirror = nil
}

func (w *world) pods() []corev1.Pod {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mirror == nil {
		var list corev1.PodList
		if err := w.api.List(w.t.Context(), &list, client.InNamespace("shop")); err != nil {
			w.t.Fatal(err)
		}
		w.mirror = list.Items
	}
	out := make([]corev1.Pod, len(w.mirror))
	for i := range w.mirror {
		w.mirror[i].DeepCopyInto(&out[i])
	}
	return out
}

func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	var p corev1.Pod
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, &p); err != nil {
		w.t.Fatal(err)
	}
	return &p
}

// condition of a pod; nil while it has none.
func (w *world) condition(name string) *corev1.PodCondition {
	w.t.Helper()
	p, _ := podOf(w.pod(name))
	return p.gate
}

func (w *world) gate(name string) corev1.ConditionStatus {
	if c := w.condition(name); c != nil {
		return c.Status
	}
	return ""
}

// outs are the pods whose condition is False.
func (w *world) outs() []string {
	var out []string
	for _, p := range w.pods() {
		if seen, _ := podOf(&p); seen.out() {
			out = append(out, p.Name)
		}
	}
	return out
}

// kubelet brings the condition Ready of all pods up to date, and the EndpointSlice.
func (w *world) kubelet() {
	w.t.Helper()
	w.readiness()
	w.endpoints()
}

func (w *world) readiness() {
	w.t.Helper()
	for _, p := range w.pods() {
		seen, gated := podOf(&p)
		status := corev1.ConditionTrue
		if w.unready[p.Name] || gated && (seen.gate == nil || seen.out()) {
			status = corev1.ConditionFalse
		}
		if seen.ready == (status == corev1.ConditionTrue) {
			continue
		}
		p.Status.Conditions = append(slices.DeleteFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady }),
			corev1.PodCondition{Type: corev1.PodReady, Status: status})
		if err := w.api.Status().Update(w.t.Context(), &p); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) endpoints() {
	w.t.Helper()
	var slice discoveryv1.EndpointSlice
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "shop", Name: "web-1"}, &slice); err != nil {
		w.t.Fatal(err)
	}
	before := slice.Endpoints
	slice.Endpoints = nil
	for i, p := range w.pods() {
		if p.Labels["app"] != "web" {
			continue
		}
		seen, _ := podOf(&p)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.0.0.%d", i+1)},
			Conditions: discoveryv1.EndpointConditions{Ready: new(seen.ready && p.DeletionTimestamp == nil), Terminating: new(p.DeletionTimestamp != nil)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: p.Name, UID: p.UID},
		})
	}
	if !apiequality.Semantic.DeepEqual(before, slice.Endpoints) {
		w.update(&slice)
	}
}

// watch tells every replica of all pods.
func (w *world) watch() {
	pods := w.pods()
	for _, r := range w.replicas {
		r.mu.Lock()
		known := maps.Clone(r.pods)
		r.mu.Unlock()
		for i := range pods {
			r.see(&pods[i])
			delete(known, types.NamespacedName{Namespace: pods[i].Namespace, Name: pods[i].Name})
		}
		for name, p := range known {
			r.lose(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, UID: p.uid}})
		}
	}
}

// results are what a check finds of pods, asked from places.
func (w *world) results(check *v1alpha1.Check, pods []plan.Pod, places []string, answers func(string, plan.Pod) v1alpha1.CheckResult) []plan.Result {
	var out []plan.Result
	for _, p := range pods {
		for _, from := range places {
			result := plan.Result{Target: p.Name, Pod: p, From: from, Result: v1alpha1.ResultSuccess}
			if check.Name == w.check.Name && w.broken[p.Name] {
				result.Result = v1alpha1.ResultFailure
			}
			if answers != nil {
				result.Result = answers(from, p)
			}
			if result.Result == v1alpha1.ResultFailure {
				result.Reason, result.Message = "ConnectionRefused", "nobody listens"
			}
			out = append(out, result)
		}
	}
	return out
}

// answer is what a pod answers.
func (w *world) answer(p plan.Pod) v1alpha1.CheckResult {
	if w.broken[p.Name] {
		return v1alpha1.ResultFailure
	}
	return v1alpha1.ResultSuccess
}

// run runs the check once, in every replica that owns it.
func (w *world) run() {
	w.t.Helper()
	var pods []plan.Pod
	for _, p := range w.pods() {
		if p.DeletionTimestamp == nil {
			pods = append(pods, plan.Pod{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, UID: p.UID})
		}
	}
	var check v1alpha1.Check
	if err := w.api.Get(w.t.Context(), client.ObjectKeyFromObject(w.check), &check); err != nil {
		return // it was deleted
	}
	for _, r := range w.replicas {
		if r.owner {
			r.Observe(&check, r.clock.Now(), w.results(&check, pods, []string{""}, nil))
		}
	}
}

// pass lets time pass step by step: the kubelet and all replicas work, and with runs the check runs every ten
// seconds.
func (w *world) pass(d time.Duration, runs bool) {
	w.t.Helper()
	step := max(w.step, time.Second)
	for passed := step; passed <= d; passed += step {
		for _, r := range w.replicas {
			r.clock.Step(step)
		}
		w.passed += step
		if period := 10 * time.Second; runs && w.passed/period != (w.passed-step)/period {
			w.run()
		}
		w.look()
	}
}

// look lets all replicas do what is to be done.
func (w *world) look() {
	w.t.Helper()
	for _, r := range slices.Clone(w.replicas) {
		w.watch()
		r.care(w.t.Context())
		w.watch()
		r.consider(w.t.Context())
		w.kubelet()
	}
}

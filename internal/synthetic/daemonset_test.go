package synthetic

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func eachObject(list client.ObjectList, do func(client.Object)) error {
	return meta.EachListItem(list, func(o runtime.Object) error {
		object, ok := o.(client.Object)
		if !ok {
			return errors.New("no object")
		}
		do(object)
		return nil
	})
}

// playFor runs a scenario with a deadline in fake time.
func playFor(t *testing.T, limit time.Duration, env Environment, run func(context.Context, Environment) (Result, error)) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	result, err := run(ctx, env)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New(`User "system:serviceaccount:checks:default" cannot list resource "`+resource+`" in API group "" at the cluster scope`))
}

func TestDaemonSet(t *testing.T) {
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	lost := func(n *corev1.Node) {
		n.Status.Conditions[0] = corev1.NodeCondition{
			Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown",
			LastTransitionTime: metav1.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)),
		}
	}
	onlyOn := func(name string, status func(*corev1.Pod)) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			if p.Spec.NodeName == name {
				status(p)
			} else {
				ready(p)
			}
		}
	}
	tests := map[string]struct {
		nodes      []client.Object
		options    map[string]string
		kubelet    func(*corev1.Pod)
		deny       bool
		keepPods   bool
		wantErrors []string
		wantNotes  []string
		wantNodes  map[string]bool
	}{
		"every node gets a pod": {
			nodes:     []client.Object{node("n1"), node("n2")},
			wantNodes: map[string]bool{"n1": true, "n2": true},
		},
		"two taints without value are both tolerated": {
			nodes:     []client.Object{node("n1", tainted("a", "", corev1.TaintEffectNoSchedule)), node("n2", tainted("b", "", corev1.TaintEffectNoExecute))},
			wantNodes: map[string]bool{"n1": true, "n2": true},
		},
		"two values of one taint are both tolerated": {
			nodes:     []client.Object{node("n1", tainted("a", "x", corev1.TaintEffectNoSchedule)), node("n2", tainted("a", "y", corev1.TaintEffectNoSchedule))},
			wantNodes: map[string]bool{"n1": true, "n2": true},
		},
		"with tolerations given, other taints excuse a node": {
			nodes:     []client.Object{node("n1"), node("n2", tainted("b", "", corev1.TaintEffectNoSchedule))},
			options:   map[string]string{"TOLERATIONS": "a=x:NoSchedule"},
			wantNodes: map[string]bool{"n1": true},
			wantNotes: []string{"node n2 has the taint b:NoSchedule, which is not tolerated: not asked for a pod"},
		},
		"an allowed taint excuses a node": {
			nodes:     []client.Object{node("n1"), node("n2", tainted("b", "v", corev1.TaintEffectNoSchedule))},
			options:   map[string]string{"ALLOWED_TAINTS": "b:NoSchedule"},
			wantNodes: map[string]bool{"n1": true},
			wantNotes: []string{"node n2 has the allowed taint b=v:NoSchedule: not asked for a pod"},
		},
		"nodes beside the selector are passed over": {
			nodes:     []client.Object{node("n1", func(n *corev1.Node) { n.Labels["role"] = "test" }), node("n2")},
			options:   map[string]string{"NODE_SELECTOR": "role=test"},
			wantNodes: map[string]bool{"n1": true},
			wantNotes: []string{"node n2 does not match NODE_SELECTOR: not asked for a pod"},
		},
		"a cordoned node without a pod is no failure": {
			nodes:     []client.Object{node("n1"), node("n2", cordoned)},
			kubelet:   onlyOn("n2", waits("ContainerCreating", "")),
			wantNodes: map[string]bool{"n1": true},
			wantNotes: []string{"node n2 is cordoned: not asked for a pod"},
		},
		"a lost node is named, with its taint and without its pod": {
			nodes: []client.Object{node("n1"), node("n2", lost, tainted(corev1.TaintNodeUnreachable, "", corev1.TaintEffectNoSchedule))},
			kubelet: onlyOn("n2", func(p *corev1.Pod) {
				p.Status.Phase = corev1.PodPending
			}),
			wantNodes:  map[string]bool{"n1": true, "n2": false},
			wantErrors: []string{"node n2: the node is NotReady since 2000-01-01T00:00:00Z (NodeStatusUnknown)"},
		},
		"nodes that share a reason share a sentence": {
			nodes:      []client.Object{node("n1"), node("n2")},
			kubelet:    waits("ImagePullBackOff", "Back-off pulling image"),
			wantNodes:  map[string]bool{"n1": false, "n2": false},
			wantErrors: []string{"node n1, n2: its pod waits with container c: ImagePullBackOff: Back-off pulling image"},
		},
		"without the right to list nodes the controller is believed": {
			nodes:     []client.Object{node("n1")},
			deny:      true,
			wantNodes: map[string]bool{"n1": true},
			wantNotes: []string{"nodes may not be listed: only the nodes that the DaemonSet controller chooses are judged, and no taint is tolerated"},
		},
		"pods that nobody removes are named": {
			nodes:      []client.Object{node("n1")},
			keepPods:   true,
			wantNodes:  map[string]bool{"n1": true},
			wantErrors: []string{"node n1: the pod was still there 9m55s after its DaemonSet was deleted, when the time of the run was over: the garbage collector has not deleted it"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, tc.nodes...)
				cluster.kubelet, cluster.keepPods = tc.kubelet, tc.keepPods
				env := cluster.environment(tc.options)
				if tc.deny {
					env.Client = interceptor.NewClient(cluster, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
						if _, ok := list.(*corev1.NodeList); ok {
							return forbidden("nodes")
						}
						return c.List(ctx, list, opts...)
					}})
				}
				result := playFor(t, 10*time.Minute, env, runDaemonSet)
				got := map[string]bool{}
				for _, n := range result.Nodes {
					got[n.Node] = n.OK
				}
				if diff := cmp.Diff(tc.wantNodes, got); diff != "" {
					t.Errorf("nodes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantNotes, result.Notes); diff != "" {
					t.Errorf("notes (-want +got):\n%s", diff)
				}
				if left := cluster.left(t); len(left) > 0 {
					t.Errorf("left in the cluster: %v", left)
				}
			})
		})
	}
}

func TestDaemonSetNodesComeAndGo(t *testing.T) {
	tests := map[string]struct {
		change     func(t *testing.T, c client.Client)
		wantErrors []string
	}{
		"a node that vanishes needs no pod": {
			change: func(t *testing.T, c client.Client) {
				if err := c.Delete(t.Context(), node("n2")); err != nil {
					t.Error(err)
				}
			},
		},
		"a node that is cordoned needs no pod": {
			change: func(t *testing.T, c client.Client) {
				if err := c.Update(t.Context(), node("n2", func(n *corev1.Node) { n.Spec.Unschedulable = true })); err != nil {
					t.Error(err)
				}
			},
		},
		"a node that is about to be removed needs no pod": {
			change: func(t *testing.T, c client.Client) {
				if err := c.Update(t.Context(), node("n2", tainted("ToBeDeletedByClusterAutoscaler", "1", corev1.TaintEffectNoSchedule))); err != nil {
					t.Error(err)
				}
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"), node("n2"))
				cluster.kubelet = func(p *corev1.Pod) {
					if p.Spec.NodeName == "n1" {
						ready(p)
					}
				}
				env := cluster.environment(nil)
				began := time.Now() //nolint:forbidigo // the time of the bubble
				go func() {
					<-time.After(time.Minute)
					tc.change(t, cluster)
				}()
				result := playFor(t, 10*time.Minute, env, runDaemonSet)
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < time.Minute || took > 2*time.Minute { //nolint:forbidigo // the time of the bubble
					t.Errorf("took %s: the change was not noticed at once", took)
				}
			})
		})
	}
}

func TestDaemonSetRefused(t *testing.T) {
	status := func(code int32, reason metav1.StatusReason, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: reason, Message: message}}
	}
	terminating := &apierrors.StatusError{ErrStatus: metav1.Status{
		Code: 403, Reason: metav1.StatusReasonForbidden, Message: "unable to create new content in namespace checks because it is being terminated",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
	}}
	tests := map[string]struct {
		err  error
		want string
	}{
		"by a quota": {
			status(403, metav1.StatusReasonForbidden, `daemonsets.apps "x" is forbidden: exceeded quota: tight, requested: count/daemonsets.apps=1, used: count/daemonsets.apps=1, limited: count/daemonsets.apps=1`),
			`a ResourceQuota of the namespace refuses it: daemonsets.apps "x" is forbidden: exceeded quota: tight, requested: count/daemonsets.apps=1, used: count/daemonsets.apps=1, limited: count/daemonsets.apps=1`,
		},
		"by a webhook": {
			status(403, metav1.StatusReasonForbidden, `admission webhook "policy.example.com" denied the request: no`),
			`admission refuses it: admission webhook "policy.example.com" denied the request: no`,
		},
		"by a webhook that is down": {
			status(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "policy.example.com": connection refused`),
			`the API server could not ask an admission webhook, whose policy is to refuse then: Internal error occurred: failed calling webhook "policy.example.com": connection refused`,
		},
		"since the namespace is being deleted": {terminating, "the namespace is being deleted"},
		"by RBAC": {
			status(403, metav1.StatusReasonForbidden, `daemonsets.apps is forbidden: User "u" cannot create resource "daemonsets" in API group "apps" in the namespace "checks"`),
			`RBAC does not allow it: daemonsets.apps is forbidden: User "u" cannot create resource "daemonsets" in API group "apps" in the namespace "checks"`,
		},
		"by a network that is down": {errors.New("connection refused"), "the API server could not be reached: connection refused"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"))
				env := cluster.environment(nil)
				env.Client = interceptor.NewClient(cluster, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					if _, ok := o.(*appsv1.DaemonSet); ok {
						return tc.err
					}
					return c.Create(ctx, o, opts...)
				}})
				result := playFor(t, 10*time.Minute, env, runDaemonSet)
				if diff := cmp.Diff([]string{"creating DaemonSet checks/daemonset-abc123: " + tc.want}, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestDaemonSetWithoutAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newSimulated(t, node("n1"), node("n2"))
		cluster.kubelet = func(*corev1.Pod) {}
		env := cluster.environment(nil)
		var gone atomic.Bool
		down := errors.New("dial tcp 10.0.0.1:443: connect: connection refused")
		env.Client = interceptor.NewClient(cluster, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if gone.Load() {
					return down
				}
				return c.List(ctx, list, opts...)
			},
			Watch: func(_ context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) (watch.Interface, error) {
				gone.Store(true) // From now on, as far as this run is concerned.
				return nil, down
			},
			Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return down },
		})
		result := playFor(t, 5*time.Minute, env, runDaemonSet)
		if len(result.Errors) == 0 {
			t.Fatal("no error")
		}
		t.Log(result.Errors)
		last := result.Errors[len(result.Errors)-1]
		if want := "cleaning up: deleting DaemonSet checks/daemonset-abc123: the API server could not be reached: " + down.Error(); last != want {
			t.Errorf("last error %q, want %q", last, want)
		}
	})
}

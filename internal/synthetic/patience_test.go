package synthetic

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// silent is a node that is NotReady since its kubelet said nothing any more.
func silent(n *corev1.Node) {
	n.Status.Conditions[0] = corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: "NodeStatusUnknown",
		LastTransitionTime: metav1.NewTime(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
}

func TestDaemonSetWaitsNotLongForNodesThatAreLost(t *testing.T) {
	const silence = "node n2: the node is NotReady since 2000-01-01T00:00:00Z (NodeStatusUnknown)"
	young := func(n *corev1.Node) { n.CreationTimestamp = metav1.NewTime(time.Now().Add(-time.Minute)) } //nolint:forbidigo // the time of the bubble
	turns := func(change ...func(*corev1.Node)) func(*testing.T, client.Client) {
		return func(t *testing.T, c client.Client) {
			if err := persist(t.Context(), c, node("n2", change...)); err != nil {
				t.Error(err)
			}
		}
	}
	tests := map[string]struct {
		n2 []func(*corev1.Node)
		// dead tells that the kubelet of n2 does nothing.
		dead bool
		// after half a minute, change happens.
		change     func(*testing.T, client.Client)
		wantErrors []string
		// The run takes so long at least and at most.
		least, most time.Duration
	}{
		"a node that was NotReady before": {
			n2: []func(*corev1.Node){silent}, dead: true, wantErrors: []string{silence}, least: lostAfter, most: 90 * time.Second,
		},
		"a node that is NotReady half a minute later": {
			dead: true, change: turns(silent), wantErrors: []string{silence}, least: lostAfter, most: 2 * time.Minute,
		},
		"a kubelet that takes up no pods though its node is Ready": {
			dead: true, wantErrors: []string{"node n2: its pod has not been taken up by the kubelet of node n2"}, least: lostAfter, most: 90 * time.Second,
		},
		"a node that is NotReady and ready again gets its pod": {
			n2: []func(*corev1.Node){silent}, change: turns(), least: 0, most: time.Minute,
		},
		"a node that is young may take its time": {
			n2: []func(*corev1.Node){young, silent}, wantErrors: nil, least: 0, most: time.Minute,
		},
		"a node that is young and never comes": {
			n2:   []func(*corev1.Node){young, silent, tainted(corev1.TaintNodeNotReady, "", corev1.TaintEffectNoExecute)},
			dead: true, wantErrors: []string{silence}, least: lostAfter, most: 10 * time.Minute,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"), node("n2", tc.n2...))
				if tc.dead {
					cluster.dead = map[string]bool{"n2": true}
				}
				began := time.Now() //nolint:forbidigo // the time of the bubble
				if tc.change != nil {
					go func() {
						<-time.After(30 * time.Second)
						tc.change(t, cluster.base)
					}()
				}
				result := playFor(t, 12*time.Minute, cluster.environment(nil), runDaemonSet)
				if took := time.Since(began); took < tc.least || took > tc.most { //nolint:forbidigo // the time of the bubble
					t.Errorf("took %s, want %s to %s", took, tc.least, tc.most)
				}
				if diff := cmp.Diff(tc.wantErrors, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if left := cluster.left(t); len(left) > 0 {
					t.Errorf("left in the cluster: %v", left)
				}
				<-time.After(time.Minute) // the change may be yet to come
			})
		})
	}
}

// An API server that does not answer, on connections that stand, shows kubelets that do nothing.
func TestDaemonSetDoesNotTakeASilentAPIServerForKubelets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newSimulated(t, node("n1"), node("n2"))
		cluster.kubelet = func(p *corev1.Pod) {
			if p.Spec.NodeName == "n1" {
				ready(p)
			}
		}
		env := cluster.environment(nil)
		began := time.Now()                                                                                     //nolint:forbidigo // the time of the bubble
		hangs := func() bool { return time.Since(began) > 10*time.Second && time.Since(began) < 4*time.Minute } //nolint:forbidigo // the time of the bubble
		env.Client = interceptor.NewClient(cluster, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if hangs() {
				<-ctx.Done()
				return ctx.Err()
			}
			return c.List(ctx, list, opts...)
		}})
		go func() {
			<-time.After(4*time.Minute + 20*time.Second)
			var pods corev1.PodList
			if err := cluster.base.List(t.Context(), &pods); err != nil {
				t.Error(err)
			}
			for i := range pods.Items {
				if p := &pods.Items[i]; p.Spec.NodeName == "n2" {
					ready(p)
					if err := persist(t.Context(), cluster.base, p); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		if result := playFor(t, 12*time.Minute, env, runDaemonSet); !result.OK() {
			t.Errorf("errors: %v", result.Errors)
		}
		if took := time.Since(began); took < 4*time.Minute { //nolint:forbidigo // the time of the bubble
			t.Errorf("took %s", took)
		}
	})
}

func TestScenariosNameTheNodeWhoseKubeletIsDead(t *testing.T) {
	const why = "has not been taken up by the kubelet of node n1"
	tests := map[string]struct {
		options map[string]string
		run     func(context.Context, Environment) (Result, error)
		want    string
	}{
		"a Deployment": {
			run: func(ctx context.Context, env Environment) (Result, error) { return runDeployment(ctx, env, noDial) },
			want: "Deployment checks/deployment-deployment-abc123 did not become available, as a kubelet does not take up its pod: " +
				"pod deployment-deployment-abc123-0-1, deployment-deployment-abc123-1-1 " + why,
		},
		"pods in namespaces": {
			run: runNamespacePod, want: "namespace shop: the pod " + why + ", after 1m0s",
		},
		"an image": {
			options: map[string]string{"FULL_IMAGE_URL": "example.com/a:1", "TIMEOUT_LIMIT": "10m"},
			run:     runImageDownload, want: "image example.com/a:1, node n1: it was not there after 1m0s: the pod " + why,
		},
		"a volume": {
			run: runStorage, want: "writing to the volume failed: pod checks/storage-check-init-job-abc123-0-1 " + why,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cluster := newSimulated(t, node("n1"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
				cluster.dead = map[string]bool{"n1": true}
				began := time.Now() //nolint:forbidigo // the time of the bubble
				result := playFor(t, 12*time.Minute, cluster.environment(tc.options), tc.run)
				if diff := cmp.Diff([]string{tc.want}, result.Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < lostAfter || took > 90*time.Second { //nolint:forbidigo // the time of the bubble
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestImageDownloadPassesOverNodesThatAreNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := newSimulated(t, node("n1"), node("n2", silent))
		env := cluster.environment(map[string]string{"FULL_IMAGE_URL": "example.com/a:1", "TIMEOUT_LIMIT": "10m", "EVERY_NODE": "true"})
		result := playFor(t, 12*time.Minute, env, runImageDownload)
		want := []string{"node n2 is NotReady: not asked to download"}
		if diff := cmp.Diff(want, result.Notes); diff != "" || !result.OK() {
			t.Errorf("errors %v, notes (-want +got):\n%s", result.Errors, diff)
		}
		if len(result.Nodes) != 1 || result.Nodes[0].Node != "n1" {
			t.Errorf("nodes %v, want n1 only", result.Nodes)
		}
	})
}

package synthetic

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestNamespacePod(t *testing.T) {
	namespace := func(name string, phase corev1.NamespacePhase) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"team": name}}, Status: corev1.NamespaceStatus{Phase: phase}}
	}
	refuse := func(code int32, message string, causes ...metav1.StatusCause) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code, Reason: metav1.StatusReasonForbidden, Message: message, Details: &metav1.StatusDetails{Causes: causes}}}
	}
	tests := map[string]struct {
		options    map[string]string
		phase      corev1.NamespacePhase
		refused    error
		kubelet    func(*corev1.Pod)
		noList     bool
		wantErrors []string
		wantNotes  []string
	}{
		"every namespace gets a pod": {},
		"by name only":               {noList: true},
		"a namespace that is being deleted is passed over": {
			phase: corev1.NamespaceTerminating, wantNotes: []string{"namespace shop: passed over, since it is being deleted"},
		},
		"a namespace that is deleted meanwhile is passed over": {
			refused:   refuse(403, "being terminated", metav1.StatusCause{Type: corev1.NamespaceTerminatingCause}),
			wantNotes: []string{"namespace shop: passed over, since it is being deleted"},
		},
		"a quota that is used up": {
			refused:    refuse(403, `pods "x" is forbidden: exceeded quota: tight`),
			wantErrors: []string{`namespace shop: a ResourceQuota of the namespace refuses it: pods "x" is forbidden: exceeded quota: tight`},
		},
		"a Pod Security level that refuses": {
			refused:    refuse(403, `pods "x" is forbidden: violates PodSecurity "restricted:latest": x`),
			wantErrors: []string{`namespace shop: the Pod Security level of the namespace refuses it: pods "x" is forbidden: violates PodSecurity "restricted:latest": x`},
		},
		"pods that do not start": {
			kubelet: func(p *corev1.Pod) {
				if p.Namespace == "shop" {
					waits("CreateContainerConfigError", "no user")(p)
					return
				}
				ready(p)
			},
			wantErrors: []string{"namespace shop: the pod waits with container c: CreateContainerConfigError: no user, after 2m0s"},
		},
		"only those that are named": {
			options:    map[string]string{"NAMESPACES": "shop,nowhere"},
			wantErrors: []string{"namespace nowhere: it does not exist"},
		},
		"only those that are selected, and not ignored": {
			options: map[string]string{"NAMESPACE_SELECTOR": "team in (shop)", "IGNORED_NAMESPACES": "shop"},
			refused: refuse(403, "not even tried"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				phase := tc.phase
				if phase == "" {
					phase = corev1.NamespaceActive
				}
				cluster := newSimulated(t, node("n1"), namespace(checks, corev1.NamespaceActive), namespace("shop", phase))
				cluster.kubelet = tc.kubelet
				env := cluster.environment(tc.options)
				env.Client = interceptor.NewClient(cluster, interceptor.Funcs{
					Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
						if tc.refused != nil && o.GetNamespace() == "shop" {
							return tc.refused
						}
						return c.Create(ctx, o, opts...)
					},
					List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
						if _, ok := list.(*corev1.PodList); ok && tc.noList {
							return forbidden("pods")
						}
						return c.List(ctx, list, opts...)
					},
				})
				result := playFor(t, 10*time.Minute, env, runNamespacePod)
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

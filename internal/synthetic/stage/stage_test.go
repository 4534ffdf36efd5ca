package stage

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func newClient(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func newStage(c client.WithWatch) *Stage {
	return &Stage{
		Client: c, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler), Scenario: "test", Run: "r1",
		Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Owner:   &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: "checker", UID: "u"}},
	}
}

func pod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

func TestMakeMarksWhatItMakes(t *testing.T) {
	c := newClient(t)
	s := newStage(c)
	for _, namespace := range []string{"here", "there"} {
		if err := s.Make(t.Context(), pod(namespace, "p")); err != nil {
			t.Fatal(err)
		}
		var got corev1.Pod
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "p"}, &got); err != nil {
			t.Fatal(err)
		}
		wantLabels := map[string]string{"app.kubernetes.io/managed-by": "maek", "source": "kuberhealthy", "khcheck": "test", "maek.dev/run": "r1"}
		if diff := cmp.Diff(wantLabels, got.Labels); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]string{"maek.dev/expires": "2030-01-02T03:04:05Z"}, got.Annotations); diff != "" {
			t.Errorf("annotations (-want +got):\n%s", diff)
		}
		// An owner in another namespace would have the garbage collector delete the object at once.
		var wantOwners []metav1.OwnerReference
		if namespace == "here" {
			wantOwners = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "checker", UID: "u"}}
		}
		if diff := cmp.Diff(wantOwners, got.OwnerReferences); diff != "" {
			t.Errorf("owners in %s (-want +got):\n%s", namespace, diff)
		}
	}
	if err := s.Strike(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left corev1.PodList
	if err := c.List(t.Context(), &left); err != nil || len(left.Items) > 0 {
		t.Errorf("left %d, error %v", len(left.Items), err)
	}
}

func TestMakeTriesAgain(t *testing.T) {
	unavailable := apierrors.NewServiceUnavailable("etcd has no leader")
	tests := map[string]struct {
		// fails is how many attempts do, and lost tells that their requests were served.
		fails    int
		lost     bool
		err      error
		wantErr  string
		wantNote string
	}{
		"at once":              {},
		"at the third attempt": {fails: 2, err: unavailable, wantNote: "creating Pod here/p succeeded at attempt 3 only: the API server refuses it: etcd has no leader"},
		"an answer that was lost is no second object": {
			fails: 1, lost: true, err: errors.New("connection reset by peer"),
			wantNote: "creating Pod here/p succeeded at attempt 2 only: the API server could not be reached: connection reset by peer",
		},
		"for half a minute": {fails: 1000, err: unavailable, wantErr: "creating Pod here/p: the API server refuses it: etcd has no leader"},
		"not what is invalid": {
			fails: 1, err: apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil),
			wantErr: `creating Pod here/p: the API server refuses it: Pod "p" is invalid`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				c := interceptor.NewClient(newClient(t), interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
					attempts++
					if attempts > tc.fails {
						return c.Create(ctx, o, opts...)
					}
					if tc.lost {
						if err := c.Create(ctx, o.DeepCopyObject().(client.Object), opts...); err != nil {
							return err
						}
					}
					return tc.err
				}})
				s := newStage(c)
				err := s.Make(t.Context(), pod("here", "p"))
				if got := errorText(err); !strings.HasPrefix(got, tc.wantErr) || tc.wantErr == "" && got != "" {
					t.Errorf("error %q, want %q", got, tc.wantErr)
				}
				if got := strings.Join(s.Notes(), "\n"); got != tc.wantNote {
					t.Errorf("notes %q, want %q", got, tc.wantNote)
				}
			})
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestSweepRemovesOwnAndExpiredOnly(t *testing.T) {
	marked := func(name, check, expires string) *corev1.Pod {
		p := pod("here", name)
		p.Labels = map[string]string{LabelManagedBy: ManagedBy, LabelCheck: check, LabelRun: name}
		p.Annotations = map[string]string{AnnotationExpires: expires}
		return p
	}
	foreign := marked("foreign", "test", "2001-01-01T00:00:00Z")
	foreign.Labels[LabelManagedBy] = "somebody"
	c := newClient(t, foreign, marked("expired", "test", "2001-01-01T00:00:00Z"), marked("running", "test", "2999-01-01T00:00:00Z"),
		marked("other", "other", "2001-01-01T00:00:00Z"), marked("unmarked", "test", ""),
		// Made by a container of this run before, which was killed.
		marked("r1", "test", "2999-01-01T00:00:00Z"))
	removed, err := newStage(c).Sweep(t.Context(), "here", &corev1.PodList{})
	if removed != 2 || err != nil {
		t.Errorf("removed %d, error %v", removed, err)
	}
	var left corev1.PodList
	if err := c.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range left.Items {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"foreign", "other", "running", "unmarked"}, got); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestViewFollows(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`User "u" cannot watch resource "pods"`))
	tests := map[string]struct {
		// watch is what becomes of each watch; nil leaves it alone.
		watch func(watch.Interface, error) (watch.Interface, error)
		// within is how soon a change is seen.
		within time.Duration
	}{
		"by its watch": {},
		"with a watch that is cut off": {
			watch: func(w watch.Interface, err error) (watch.Interface, error) {
				if err == nil {
					w.Stop()
				}
				return w, err
			},
			within: 2 * pauseAfterFailure,
		},
		"with a watch that begins too far back": {
			watch: func(w watch.Interface, err error) (watch.Interface, error) {
				if err != nil {
					return nil, err
				}
				w.Stop()
				late := watch.NewFakeWithChanSize(1, false)
				late.Error(&metav1.Status{Code: 410, Reason: metav1.StatusReasonExpired})
				return late, nil
			},
			within: 2 * pauseAfterFailure,
		},
		"without the right to watch": {
			watch: func(w watch.Interface, _ error) (watch.Interface, error) {
				w.Stop()
				return nil, denied
			},
			within: pauseBetweenLists,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := interceptor.NewClient(newClient(t, pod("here", "old")), interceptor.Funcs{
					Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
						w, err := c.Watch(ctx, list, opts...)
						if tc.watch != nil {
							return tc.watch(w, err)
						}
						return w, err
					},
				})
				ctx, cancel := context.WithCancel(t.Context())
				views := NewViews(c, clock.RealClock{})
				defer views.Wait()
				defer cancel()
				view := Observe[*corev1.Pod](ctx, views, &corev1.PodList{}, client.InNamespace("here"))
				synctest.Wait()
				if err := c.Create(ctx, pod("here", "new")); err != nil {
					t.Fatal(err)
				}
				if err := c.Delete(ctx, pod("here", "old")); err != nil {
					t.Fatal(err)
				}
				began := time.Now() //nolint:forbidigo // the time of the bubble
				err := views.Until(ctx, 0, func() (bool, error) {
					all := view.All()
					return len(all) == 1 && all[0].Name == "new", nil
				})
				if took := time.Since(began); err != nil || took > tc.within { //nolint:forbidigo // the time of the bubble
					t.Errorf("seen after %s, error %v; want within %s", took, err, tc.within)
				}
			})
		})
	}
}

func TestUntilIsSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		ctx, cancel := context.WithCancel(t.Context())
		views := NewViews(c, clock.RealClock{})
		defer views.Wait()
		defer cancel()
		view := Observe[*corev1.Pod](ctx, views, &corev1.PodList{})
		began := time.Now() //nolint:forbidigo // the time of the bubble
		go func() {
			// One comes, goes after 3 s, and comes back at 10 s.
			for _, step := range []func() error{
				func() error { return c.Create(ctx, pod("here", "p")) },
				func() error { <-time.After(3 * time.Second); return c.Delete(ctx, pod("here", "p")) },
				func() error { <-time.After(7 * time.Second); return c.Create(ctx, pod("here", "p")) },
			} {
				if err := step(); err != nil {
					t.Error(err)
				}
			}
		}()
		err := views.Until(ctx, 5*time.Second, func() (bool, error) { return len(view.All()) == 1, nil })
		if took := time.Since(began); err != nil || took != 15*time.Second { //nolint:forbidigo // the time of the bubble
			t.Errorf("took %s, error %v", took, err)
		}
	})
}

func TestUntilFailsWithoutTheRightToRead(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New(`User "u" cannot list resource "pods"`))
	synctest.Test(t, func(t *testing.T) {
		c := interceptor.NewClient(newClient(t), interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return denied }})
		views := NewViews(c, clock.RealClock{})
		optional := ObserveIfAllowed[*corev1.Pod](t.Context(), views, &corev1.PodList{})
		if err := views.Until(t.Context(), 0, func() (bool, error) { return optional.Denied() != nil, nil }); err != nil {
			t.Errorf("error %v, though it can do without", err)
		}
		Observe[*corev1.Pod](t.Context(), views, &corev1.PodList{})
		if err := views.Until(t.Context(), 0, func() (bool, error) { return false, nil }); !Denied(err) {
			t.Errorf("error %v", err)
		}
		views.Wait()
	})
}

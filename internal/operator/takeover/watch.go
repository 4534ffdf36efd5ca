package takeover

import (
	"context"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/maek-dev/maek/internal/snapshot"
)

// defaultLasts is for how long a Lease holds that does not say (main: cmd/kuberhealthy/config.go,
// KH_LEADER_ELECTION_LEASE_DURATION).
const defaultLasts = 15 * time.Second

func (w *Watcher) watchPods(ctx context.Context) {
	pods := w.o.Pods.Pods(metav1.NamespaceAll)
	w.reflect(ctx, "Kuberhealthy's pods", &corev1.Pod{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = podLabels
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = podLabels
			return pods.Watch(ctx, o)
		},
	}, &store[*corev1.Pod]{
		one: func(pod *corev1.Pod, there bool) {
			name := pod.Namespace + "/" + pod.Name
			w.update(func(s *state, _ time.Time) {
				if there && runs(pod) {
					s.pods[name] = true
				} else {
					delete(s.pods, name)
				}
			})
		},
		all: func(pods []*corev1.Pod) {
			now := map[string]bool{}
			for _, pod := range pods {
				if runs(pod) {
					now[pod.Namespace+"/"+pod.Name] = true
				}
			}
			w.update(func(s *state, _ time.Time) { s.pods, s.podsListed = now, true })
		},
	})
}

func (w *Watcher) watchLeases(ctx context.Context) {
	leases := w.o.Leases.Leases(w.o.LeaseNamespace)
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, w.o.Lease).String()
	w.reflect(ctx, "Kuberhealthy's Leases", &coordinationv1.Lease{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return leases.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return leases.Watch(ctx, o)
		},
	}, &store[*coordinationv1.Lease]{
		one: func(l *coordinationv1.Lease, there bool) {
			w.update(func(s *state, now time.Time) {
				if there {
					s.see(l.Namespace, read(l), now)
				} else {
					delete(s.leases, l.Namespace)
				}
			})
		},
		all: func(leases []*coordinationv1.Lease) {
			w.update(func(s *state, now time.Time) {
				before := s.leases
				s.leases, s.leasesListed = map[string]*lease{}, true
				for _, l := range leases {
					if old := before[l.Namespace]; old != nil {
						s.leases[l.Namespace] = old
					}
					s.see(l.Namespace, read(l), now)
				}
			})
		},
	})
}

func (w *Watcher) reflect(ctx context.Context, name string, expected runtime.Object, lw *cache.ListWatch, into cache.ReflectorStore) {
	cache.NewReflectorWithOptions(lw, expected, into, cache.ReflectorOptions{Name: name, Clock: w.o.Clock}).RunWithContext(ctx)
}

// runs tells that a pod is Kuberhealthy's and may run checks; one that is being deleted may still.
func runs(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodRunning {
		return false
	}
	for i := range pod.Spec.Containers {
		if kuberhealthys(pod.Spec.Containers[i].Image) {
			return true
		}
	}
	return false
}

// kuberhealthys tells that an image is Kuberhealthy's by the last part of its name, without tag and
// digest. Its checks' images lie beside it under other names.
func kuberhealthys(image string) bool {
	return strings.Contains(snapshot.ParseImage(image).Name(), imageName)
}

func read(l *coordinationv1.Lease) lease {
	seen := lease{version: l.ResourceVersion, lasts: defaultLasts}
	if h := l.Spec.HolderIdentity; h != nil {
		seen.holder = *h
	}
	if d := l.Spec.LeaseDurationSeconds; d != nil && *d > 0 {
		seen.lasts = time.Duration(*d) * time.Second
	}
	return seen
}

// store passes on what a watch brings, and keeps nothing.
type store[T any] struct {
	// one is given an object that came or changed, or is not there any more.
	one func(object T, there bool)
	// all is given a whole list.
	all func(objects []T)
}

// Add passes an object on.
func (s *store[T]) Add(obj any) error { return s.pass(obj, true) }

// Update passes an object on.
func (s *store[T]) Update(obj any) error { return s.pass(obj, true) }

// Delete passes on that an object is gone.
func (s *store[T]) Delete(obj any) error { return s.pass(obj, false) }

// Replace passes a list on.
func (s *store[T]) Replace(objects []any, _ string) error {
	all := make([]T, 0, len(objects))
	for _, obj := range objects {
		object, ok := obj.(T)
		if !ok {
			return fmt.Errorf("a list gave a %T", obj)
		}
		all = append(all, object)
	}
	s.all(all)
	return nil
}

// Resync has nothing to do.
func (s *store[T]) Resync() error { return nil }

func (s *store[T]) pass(obj any, there bool) error {
	object, ok := obj.(T)
	if !ok {
		return fmt.Errorf("a watch gave a %T", obj)
	}
	s.one(object, there)
	return nil
}

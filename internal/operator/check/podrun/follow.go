package podrun

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// syncWithin is for how long the pods may take to be listed.
const syncWithin = 30 * time.Second

// watcher passes on what the shared cache hears of the pods of checks.
type watcher struct {
	cache cache.Cache

	mu           sync.Mutex
	informer     cache.Informer
	registration toolscache.ResourceEventHandlerRegistration
	subscribers  map[types.UID]map[*subscription]struct{}
}

func newWatcher(c cache.Cache) *watcher {
	return &watcher{cache: c, subscribers: map[types.UID]map[*subscription]struct{}{}}
}

// subscription is somebody's who waits for the pods of a check.
type subscription struct {
	// changed gets a value when something may have.
	changed chan struct{}

	mu sync.Mutex
	// gone are pods as they were seen last.
	gone map[types.UID]*corev1.Pod
}

// last returns how a pod that is gone was seen last; nil for one that was not seen to go.
func (s *subscription) last(pod types.UID) *corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone[pod]
}

// forget drops what was heard of the end of a pod that is not gone.
func (s *subscription) forget(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.gone, pod)
}

func (w *watcher) subscribe(check types.UID) (s *subscription, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s = &subscription{changed: make(chan struct{}, 1), gone: map[types.UID]*corev1.Pod{}}
	if w.subscribers[check] == nil {
		w.subscribers[check] = map[*subscription]struct{}{}
	}
	w.subscribers[check][s] = struct{}{}
	return s, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subscribers[check], s)
		if len(w.subscribers[check]) == 0 {
			delete(w.subscribers, check)
		}
	}
}

// follow makes sure that the cache has the pods, and tells of them. Others who share the cache may take the informer
// away, and put another in its place.
func (w *watcher) follow(ctx context.Context) error {
	w.mu.Lock()
	registration := w.registration
	stale := w.informer == nil || w.informer.IsStopped()
	w.mu.Unlock()
	if stale {
		informer, err := w.cache.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("reading pods: %w", err)
		}
		w.mu.Lock()
		if w.informer == nil || w.informer.IsStopped() {
			if w.registration, err = informer.AddEventHandler(w); err == nil {
				w.informer = informer
			}
		}
		registration = w.registration
		w.mu.Unlock()
		if err != nil {
			return fmt.Errorf("following pods: %w", err)
		}
	}
	if registration.HasSynced() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nobody(Unreachable, "the API server has not listed the pods within %s", syncWithin)
	}
	return nil
}

// OnAdd implements cache.ResourceEventHandler.
func (w *watcher) OnAdd(object any, _ bool) { w.heard(object, false) }

// OnUpdate implements cache.ResourceEventHandler.
func (w *watcher) OnUpdate(_, object any) { w.heard(object, false) }

// OnDelete implements cache.ResourceEventHandler.
func (w *watcher) OnDelete(object any) {
	if unseen, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unseen.Obj
	}
	w.heard(object, true)
}

func (w *watcher) heard(object any, gone bool) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.subscribers[types.UID(pod.Labels[v1alpha1.LabelRunOf])] {
		if gone {
			s.mu.Lock()
			s.gone[pod.UID] = pod
			s.mu.Unlock()
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// pods returns the pods of a check that the cache shows, the oldest slot first. They are the cache's own.
func (r *Runner) pods(ctx context.Context, check *v1alpha1.Check) ([]*corev1.Pod, error) {
	if err := r.watcher.follow(ctx); err != nil {
		return nil, err
	}
	var list corev1.PodList
	err := r.o.Cache.List(ctx, &list, client.InNamespace(check.Namespace),
		client.MatchingLabels{v1alpha1.LabelRunOf: string(check.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the pods of Check %s/%s in the cache: %w", check.Namespace, check.Name, err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		if isRunOf(&list.Items[i], check) {
			pods = append(pods, &list.Items[i])
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		first, _ := slotOf(a)
		second, _ := slotOf(b)
		return first.Compare(second)
	})
	return pods, nil
}

// isRunOf tells whether a pod is one that was made for a check. Anybody can write a label, and who may make pods an owner
// too; what is not the check's own is not waited for, and never deleted.
func isRunOf(pod *corev1.Pod, check *v1alpha1.Check) bool {
	slot, ok := slotOf(pod)
	return ok && pod.Name == PodName(check, slot) && metav1.IsControlledBy(pod, check)
}

// latest is a pod as the cache shows it now, and whether it is gone. It stays as it was where the cache has not heard
// of it yet.
func (s *slotRun) latest(ctx context.Context, pod *corev1.Pod) (now *corev1.Pod, gone, shown bool) {
	if last := s.sub.last(pod.UID); last != nil {
		return last, true, true
	}
	var cached corev1.Pod
	err := s.o.Cache.Get(ctx, client.ObjectKeyFromObject(pod), &cached, client.UnsafeDisableDeepCopy)
	if err != nil || cached.UID != pod.UID {
		return pod, false, false
	}
	return &cached, false, true
}

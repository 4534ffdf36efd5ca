package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubelet plays the part of scheduler, kubelet and checker: a pod runs at once, reports after a while and
// ends.
type kubelet struct {
	client client.WithWatch
	// work is how long a checker takes.
	work time.Duration
	// path of the report endpoint.
	path string
	// replicas of the operator by address; a dead one has none.
	replicas func() []string
	next     atomic.Int64

	mu   sync.Mutex
	runs map[string][]run // by check
}

// run is what was seen of one pod.
type run struct {
	pod, id string
	// created is when the bench saw the pod; the API server's own stamp has whole seconds only.
	created time.Time
	// report is how long the report took, from the first attempt; zero where none was taken.
	report time.Duration
}

// follow plays until ctx ends.
func (k *kubelet) follow(ctx context.Context, namespace string) error {
	seen := map[string]bool{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		w, err := k.client.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace), client.MatchingFieldsSelector{Selector: fields.Everything()})
		if err != nil {
			return fmt.Errorf("watching pods: %w", err)
		}
		for event := range w.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || seen[string(pod.UID)] || !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodSucceeded {
				if ok && !pod.DeletionTimestamp.IsZero() {
					// What a scheduled pod's deletion waits for is the kubelet's word.
					wg.Go(func() { _ = k.client.Delete(ctx, pod, client.GracePeriodSeconds(0)) })
				}
				continue
			}
			seen[string(pod.UID)] = true
			now := time.Now()
			wg.Go(func() { k.play(ctx, pod, now) })
		}
	}
	return nil
}

func (k *kubelet) play(ctx context.Context, pod *corev1.Pod, created time.Time) {
	id := ""
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == "KH_RUN_UUID" {
			id = e.Value
		}
	}
	check := pod.Annotations["comcast.github.io/check-name"] + pod.Annotations["kuberhealthyCheckName"]
	k.note(check, run{pod: pod.Name, id: id, created: created})
	n := k.next.Add(1)
	address := fmt.Sprintf("10.%d.%d.%d", 1+n/62500%250, n/250%250, 1+n%250)
	if err := k.status(ctx, pod, func(s *corev1.PodStatus) {
		s.Phase, s.PodIP, s.PodIPs = corev1.PodRunning, address, []corev1.PodIP{{IP: address}}
	}); err != nil {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(k.work):
	}
	took, ok := k.report(ctx, id)
	if ok {
		k.reported(check, pod.Name, took)
	}
	_ = k.status(ctx, pod, func(s *corev1.PodStatus) { s.Phase = corev1.PodSucceeded })
}

// status writes a pod's status; a pod that is gone is no error.
func (k *kubelet) status(ctx context.Context, pod *corev1.Pod, change func(*corev1.PodStatus)) error {
	base := pod.DeepCopy()
	change(&pod.Status)
	return client.IgnoreNotFound(k.client.Status().Patch(ctx, pod, client.MergeFrom(base)))
}

// report tries as Kuberhealthy's client does: again after a failure, for half a minute, at the next replica.
func (k *kubelet) report(ctx context.Context, id string) (time.Duration, bool) {
	began := time.Now()
	for attempt := 0; time.Since(began) < 30*time.Second && ctx.Err() == nil; attempt++ {
		replicas := k.replicas()
		if len(replicas) > 0 {
			address := replicas[(int(k.next.Load())+attempt)%len(replicas)]
			if k.post(ctx, "http://"+address+k.path, id) == nil {
				return time.Since(began), true
			}
		}
		time.Sleep(min(time.Second, 50*time.Millisecond<<attempt))
	}
	return 0, false
}

func (k *kubelet) post(ctx context.Context, url, id string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(`{"OK":true,"Errors":[]}`)))
	if err != nil {
		return err
	}
	r.Header.Set("Kh-Run-Uuid", id)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the report was answered with %d: %s", answer.StatusCode, text)
	}
	return nil
}

func (k *kubelet) note(check string, r run) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.runs[check] = append(k.runs[check], r)
}

func (k *kubelet) reported(check, pod string, took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.runs[check] {
		if k.runs[check][i].pod == pod {
			k.runs[check][i].report = took
		}
	}
}

// gone tells whether an error only says that an object is gone.
func gone(err error) bool { return errors.Is(err, context.Canceled) || apierrors.IsNotFound(err) }

//go:build unix

package scenarios

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// provisioner is the simulated one, and simulatedClass its StorageClass.
const provisioner, simulatedClass = "simulated.example.com/volumes", "simulated"

// simulation is kubelets that run no containers, and a provisioner that has no disks: they write what
// the real ones would.
type simulation struct{ client kubernetes.Interface }

// startNodes makes nodes and simulates their kubelets until ctx ends.
func startNodes(ctx context.Context, config *rest.Config, names ...string) (*sync.WaitGroup, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	s := simulation{client}
	for _, name := range names {
		if err := s.node(ctx, name); err != nil {
			return nil, fmt.Errorf("making node %s: %w", name, err)
		}
	}
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: simulatedClass}, Provisioner: provisioner}
	if _, err := client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	watched := map[cache.SharedIndexInformer]func(context.Context, any) error{
		factory.Core().V1().Pods().Informer():                   s.pod,
		factory.Core().V1().PersistentVolumeClaims().Informer(): s.claim,
		factory.Core().V1().PersistentVolumes().Informer():      s.volume,
	}
	var done sync.WaitGroup
	for informer, act := range watched {
		queue := make(chan any, 1000)
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { queue <- o }, UpdateFunc: func(_, o any) { queue <- o },
		}); err != nil {
			return nil, err
		}
		done.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case o := <-queue:
					// A conflict is followed by the event of whoever was faster.
					if err := act(ctx, o); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(err) {
						panic(err)
					}
				}
			}
		})
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return &done, nil
}

func (s simulation) node(ctx context.Context, name string) error {
	room := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")}
	n, err := s.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	now := metav1.Now()
	n.Status = corev1.NodeStatus{Capacity: room, Allocatable: room, Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now},
	}}
	if n, err = s.client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		return err
	}
	// The API server gives every new node a taint that the node lifecycle controller takes away.
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	_, err = s.client.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
	if apierrors.IsConflict(err) {
		return nil // The controller was faster.
	}
	return err
}

// pod runs, has ended where it is a Job's, or goes where it is deleted.
func (s simulation) pod(ctx context.Context, o any) error {
	p, ok := o.(*corev1.Pod)
	if !ok || p.Spec.NodeName == "" {
		return nil
	}
	pods := s.client.CoreV1().Pods(p.Namespace)
	if !p.DeletionTimestamp.IsZero() {
		return pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0)), Preconditions: metav1.NewUIDPreconditions(string(p.UID))})
	}
	if p.Status.Phase != corev1.PodPending {
		return nil
	}
	p = p.DeepCopy()
	now := metav1.Now()
	status := corev1.ContainerStatus{Name: p.Spec.Containers[0].Name, Image: p.Spec.Containers[0].Image, ImageID: "sha256:0"}
	if len(p.Spec.Containers[0].Command) > 0 || p.Spec.Volumes != nil {
		p.Status.Phase = corev1.PodSucceeded
		status.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now}
	} else {
		p.Status.Phase, status.Ready = corev1.PodRunning, true
		status.State.Running = &corev1.ContainerStateRunning{StartedAt: now}
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	p.Status.StartTime, p.Status.ContainerStatuses = &now, []corev1.ContainerStatus{status}
	_, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

// claim gets a volume once the binder has asked for one.
func (s simulation) claim(ctx context.Context, o any) error {
	c, ok := o.(*corev1.PersistentVolumeClaim)
	if !ok || c.Status.Phase != corev1.ClaimPending || c.Annotations["volume.kubernetes.io/storage-provisioner"] != provisioner || !c.DeletionTimestamp.IsZero() {
		return nil
	}
	_, err := s.client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(c.UID), Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: c.Spec.Resources.Requests, AccessModes: c.Spec.AccessModes, StorageClassName: *c.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: c.Namespace, Name: c.Name, UID: c.UID},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "simulated.example.com", VolumeHandle: string(c.UID)}},
		},
	}, metav1.CreateOptions{})
	return err
}

// volume is deleted when its claim is gone.
func (s simulation) volume(ctx context.Context, o any) error {
	v, ok := o.(*corev1.PersistentVolume)
	if !ok || v.Status.Phase != corev1.VolumeReleased || !v.DeletionTimestamp.IsZero() {
		return nil
	}
	return s.client.CoreV1().PersistentVolumes().Delete(ctx, v.Name, metav1.DeleteOptions{})
}

// shortly is more than any of this takes on a busy machine.
const shortly = 2 * time.Minute

package operator

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is of the Lease that whoever diagnoses holds.
const leaseName = "maek-operator-incidents"

// How long the lead lasts without being renewed, until when its holder must have renewed it, and how
// often it tries: as the control plane's own components have it
// (k8s.io/component-base/config/v1alpha1/defaults.go).
const (
	leadDuration = 15 * time.Second
	leadDeadline = 10 * time.Second
	leadRetry    = 2 * time.Second
)

// lead does a task while this replica holds the lead, and campaigns again whenever it was lost, until
// ctx ends. The task has ended before that.
func (o *Operator) lead(ctx context.Context, leases coordinationv1client.LeasesGetter, task func(context.Context) error) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.o.Namespace, Name: leaseName},
		Client:     leases,
		LockConfig: resourcelock.ResourceLockConfig{Identity: o.o.Pod},
	}
	// A campaign begins its task in a goroutine of its own, and does not wait for it.
	var one sync.Mutex
	for ctx.Err() == nil {
		campaign, over := context.WithCancel(ctx)
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, Name: leaseName, ReleaseOnCancel: true,
			LeaseDuration: leadDuration, RenewDeadline: leadDeadline, RetryPeriod: leadRetry,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) {
					one.Lock()
					defer one.Unlock()
					if ctx.Err() != nil {
						return
					}
					o.o.Log.Info("this replica diagnoses the cluster")
					err := task(ctx)
					o.o.Log.Info("this replica diagnoses no longer", "error", err)
					over()
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			over()
			return fmt.Errorf("campaigning for Lease %s/%s: %w", o.o.Namespace, leaseName, err)
		}
		elector.Run(campaign)
		over()
		select {
		case <-ctx.Done():
		case <-o.o.Clock.After(leadRetry):
		}
	}
	one.Lock() // the last task has ended
	defer one.Unlock()
	return nil
}

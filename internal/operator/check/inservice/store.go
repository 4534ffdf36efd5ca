package inservice

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// LeaseName is of the Lease in the operator's namespace that has the ledger in the annotation
// LedgerAnnotation. It is never held: whoever writes it does so on the condition that nobody else did.
const (
	LeaseName        = "maek-in-service"
	LedgerAnnotation = "maek.dev/in-service-ledger"
)

// readLedger reads the ledger from the API server, and makes an empty one where there is none yet and create
// says so.
func (k *Keeper) readLedger(ctx context.Context, create bool) (*coordinationv1.Lease, ledger, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	lease := &coordinationv1.Lease{}
	err := k.o.Client.Get(ctx, client.ObjectKey{Namespace: k.o.ServiceAccount.Namespace, Name: LeaseName}, lease)
	switch {
	case apierrors.IsNotFound(err) && create:
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: k.o.ServiceAccount.Namespace, Name: LeaseName}}
		if err := k.o.Client.Create(ctx, lease); err != nil {
			return nil, ledger{}, fmt.Errorf("creating Lease %s/%s: %w", k.o.ServiceAccount.Namespace, LeaseName, err)
		}
	case apierrors.IsNotFound(err):
		k.mu.Lock()
		defer k.mu.Unlock()
		k.note(ledger{})
		return nil, ledger{}, nil
	case err != nil:
		return nil, ledger{}, fmt.Errorf("reading Lease %s/%s: %w", k.o.ServiceAccount.Namespace, LeaseName, err)
	}
	l, err := decode(lease.Annotations[LedgerAnnotation])
	if err != nil {
		return nil, ledger{}, fmt.Errorf("annotation %s of Lease %s/%s, which may be deleted: %w", LedgerAnnotation, k.o.ServiceAccount.Namespace, LeaseName, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note(l)
	return lease, l, nil
}

// writeLedger writes the ledger into the Lease that it was read from, on the condition that nobody else has
// meanwhile.
func (k *Keeper) writeLedger(ctx context.Context, lease *coordinationv1.Lease, l ledger) error {
	text, fits, err := l.encode()
	switch {
	case err != nil:
		return err
	case !fits:
		return errLedger
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[LedgerAnnotation] = text
	lease.Spec.HolderIdentity = &k.o.Self
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := k.o.Client.Update(ctx, lease); err != nil {
		return fmt.Errorf("writing Lease %s/%s: %w", k.o.ServiceAccount.Namespace, LeaseName, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ledger, k.ledgerAt = l, k.age
	k.note(l)
	return nil
}

// refreshLedger reads the ledger anew while it is needed.
func (k *Keeper) refreshLedger(ctx context.Context) {
	k.mu.Lock()
	k.count()
	needed := false
	for _, p := range k.pods {
		needed = needed || p.out()
	}
	// What there is when it begins to look on is told from what comes later.
	needed = needed || k.takes == nil && len(k.records) > 0
	needed = needed && (k.ledgerAt == never || k.age-k.ledgerAt >= ledgerEvery)
	k.mu.Unlock()
	if !needed {
		return
	}
	_, l, err := k.readLedger(ctx, false)
	k.complain(ctx, "nobody knows for which checks pods are out of service", err)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ledger, k.ledgerAt = l, k.age
}

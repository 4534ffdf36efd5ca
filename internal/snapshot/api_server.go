package snapshot

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// identityRenewed is how old the Lease of a kube-apiserver that lives is at most: it is renewed every 10 s
// (k8s.io/kubernetes/pkg/controlplane/apiserver/server.go, IdentityLeaseRenewIntervalPeriod), and one
// renewal may be late.
const identityRenewed = 30 * time.Second

// The label with which each kube-apiserver marks its own Lease
// (k8s.io/kubernetes/pkg/controlplane/apiserver/server.go, IdentityLeaseComponentLabelKey).
const (
	APIServerLeaseLabel = "apiserver.kubernetes.io/identity"
	APIServerLeaseValue = "kube-apiserver"
)

// ServedSince is since when one API server or another has served without a break, by the Leases that they make when
// they start and remove when they are stopped. It is zero where nothing tells. One that was killed finds
// its Lease again, so that the break is not seen. It reads Leases.
func (s *Snapshot) ServedSince() time.Time {
	list := List[*coordinationv1.Lease](s)
	return Derived(s, func() servedSince {
		var since time.Time
		for _, l := range list {
			if l.Labels[APIServerLeaseLabel] != APIServerLeaseValue || s.Now().Sub(lastRenewal(l)) > identityRenewed {
				continue
			}
			if made := l.CreationTimestamp.Time; since.IsZero() || made.Before(since) {
				since = made
			}
		}
		return servedSince{since}
	}).Time
}

type servedSince struct{ time.Time }

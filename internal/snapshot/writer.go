package snapshot

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Writer is a process that writes status fields, named by the Lease with which it says that it
// lives.
type Writer struct {
	// Namespace of the Lease.
	Namespace string
	// Name of the Lease.
	Name string
}

// The writers of the control plane, by their leader election Leases
// (k8s.io/kubernetes/cmd/kube-controller-manager/app/options and cmd/kube-scheduler/app/options).
var (
	ControllerManager = Writer{Namespace: "kube-system", Name: "kube-controller-manager"}
	Scheduler         = Writer{Namespace: "kube-system", Name: "kube-scheduler"}
)

// KubeletOn is the kubelet of a node, which writes the node's and its pods' status
// (k8s.io/api/core/v1, NamespaceNodeLease).
func KubeletOn(node string) Writer { return Writer{Namespace: "kube-node-lease", Name: node} }

// Liveness says whether a writer lives, as far as its Lease tells.
type Liveness string

// The states of a writer.
const (
	// Alive: its Lease is fresh.
	Alive Liveness = "alive"
	// Dead: its Lease has run out, or its holder gave it up and nobody took it.
	Dead Liveness = "dead"
	// LivenessUnknown: there is no Lease to tell by, it could not be read, or it ran out while no API server
	// was there to renew it with.
	LivenessUnknown Liveness = "unknown"
)

// leaseGrace is how far past its duration a Lease may be before its holder counts as dead. It
// covers one missed renewal of the slowest writer (a kubelet renews every 10 s).
const leaseGrace = 10 * time.Second

// Freshness says whether fields of a writer can be believed.
type Freshness struct {
	// State of the writer.
	State Liveness
	// LastSeen is its last sign of life; fields that it writes are not newer.
	LastSeen time.Time
	// Holder of the Lease; empty when it was given up.
	Holder string
	// Reason why State is LivenessUnknown.
	Reason string
	// Awaited tells that the Lease has run out and that State is LivenessUnknown because the API servers
	// have been back for too short a time for it to be renewed.
	Awaited bool
	// Evidence for State.
	Evidence []v1alpha1.Evidence
}

// Writer tells whether a writer lives. Its Evidence is shared: do not write to it. It reads Leases.
func (s *Snapshot) Writer(w Writer) Freshness {
	s.table(KindOf[*coordinationv1.Lease]()) // a rule must declare what it reads, whether it is the first to ask or not
	if known, ok := s.index.writers.Load(w); ok {
		if f, ok := known.(Freshness); ok {
			return f
		}
	}
	f := s.freshness(w)
	s.index.writers.Store(w, f)
	return f
}

func (s *Snapshot) freshness(w Writer) Freshness {
	lease, ok := Get[*coordinationv1.Lease](s, w.Namespace, w.Name)
	if !ok {
		c := s.Coverage(KindOf[*coordinationv1.Lease]())
		reason := fmt.Sprintf("there is no Lease %s/%s", w.Namespace, w.Name)
		if !c.Known() {
			reason = fmt.Sprintf("Leases: %s", c.State)
		}
		return Freshness{State: LivenessUnknown, Reason: reason}
	}
	f := Freshness{LastSeen: lastRenewal(lease), State: Alive}
	if lease.Spec.HolderIdentity != nil {
		f.Holder = *lease.Spec.HolderIdentity
	}
	var duration time.Duration
	if lease.Spec.LeaseDurationSeconds != nil {
		duration = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	source := fmt.Sprintf("Lease %s/%s", w.Namespace, w.Name)
	switch {
	case f.LastSeen.IsZero():
		return Freshness{State: LivenessUnknown, Reason: source + " was never renewed"}
	case f.Holder == "":
		f.State = Dead
		f.Evidence = []v1alpha1.Evidence{{Source: source, Path: ".spec.holderIdentity", Value: "(given up)", At: at(f.LastSeen)}}
	default:
		age, served := s.Now().Sub(f.LastSeen), s.ServedSince()
		switch {
		case age <= duration+leaseGrace:
		case s.Now().Sub(served) <= duration+leaseGrace:
			f.State, f.Awaited = LivenessUnknown, true
			f.Reason = fmt.Sprintf("%s ran out while there was no API server; one is back since %s", source, served.UTC().Format(time.TimeOnly))
		default:
			f.State = Dead
		}
		f.Evidence = []v1alpha1.Evidence{{
			Source: source, Path: ".spec.renewTime",
			Value: fmt.Sprintf("%s (%s old, good for %s)", f.LastSeen.UTC().Format(time.RFC3339), age.Truncate(time.Second), duration),
			At:    at(f.LastSeen),
		}}
	}
	return f
}

// lastRenewal is when a Lease was last written. Its managed fields carry the API server's clock,
// by which the snapshot counts too; renewTime is the holder's, which may be hours off.
func lastRenewal(lease *coordinationv1.Lease) time.Time {
	if _, at := LastManager(lease); !at.IsZero() {
		return at
	}
	if lease.Spec.RenewTime != nil {
		return lease.Spec.RenewTime.Time
	}
	return time.Time{}
}

package inservice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// within bounds each request to the API server.
const within = 10 * time.Second

// gather makes the state that care is decided by; judging, also what candidates needs. What cannot be
// read is left out, and the error tells of it.
func (k *Keeper) gather(ctx context.Context, judging bool) (*state, error) {
	k.refreshLedger(ctx)
	s := k.remembered(judging)
	namespaces := map[string]bool{}
	for _, w := range s.pods {
		if w.out() {
			namespaces[w.Namespace] = true
		}
	}
	for _, e := range s.dry.outs() {
		namespaces[e.Namespace] = true
	}
	failing := map[string]bool{}
	if judging {
		for _, r := range s.records {
			if r.check.Spec.TakeOutOfService == nil {
				continue
			}
			if len(r.failing()) > 0 {
				failing[r.check.Namespace] = true
			}
			if r.reds() > 0 {
				namespaces[r.check.Namespace] = true
			}
		}
		maps.Copy(namespaces, failing)
	}
	if len(namespaces) == 0 {
		return s, nil
	}
	// A kind that came a moment ago is waited for by those who read it.
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var err error
	if s.bounds, err = k.boundsFor(ctx, namespaces); err != nil {
		return s, err
	}
	if judging {
		k.crowd(s)
	}
	if err := k.readChecks(ctx, s); err != nil {
		return s, err
	}
	if len(failing) == 0 {
		return s, nil
	}
	if err := k.readSiblings(ctx, s, failing); err != nil {
		return s, err
	}
	return s, k.weather(ctx, s)
}

// remembered is what this replica knows without asking.
func (k *Keeper) remembered(judging bool) *state {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.count()
	s := &state{
		now: now, age: k.age, settled: min(now.Sub(k.o.Settled()), k.age-k.gap),
		pods: map[types.UID]watched{}, records: maps.Clone(k.records),
		ledger: k.ledger, ledgerKnown: k.ledgerAt != never && k.age-k.ledgerAt <= 3*ledgerEvery,
		checks:  map[types.UID]*v1alpha1.Check{},
		resting: func(c *v1alpha1.Check) bool { return k.o.Resting(c, now) },
		closed:  func(b bounds) string { return b.closed(k.o.Within, now) },
		dry:     k.dry, forbidden: map[string]string{}, calm: never, crowds: map[types.UID]time.Duration{},
	}
	failing := map[types.UID]bool{}
	if judging {
		for _, r := range s.records {
			for _, v := range r.failing() {
				failing[v.pod.UID] = true
			}
		}
	}
	for _, p := range k.pods {
		if p.gate != nil && !p.out() && !failing[p.uid] {
			delete(k.sightings, p.uid)
			continue
		}
		seen := k.sightings[p.uid].sight(p, k.age)
		k.sightings[p.uid] = seen
		s.pods[p.uid] = watched{pod: p, seen: seen, owned: k.o.Owns(p.uid)}
	}
	for namespace, at := range k.forbidden {
		if k.age-at >= againAfter {
			delete(k.forbidden, namespace)
			continue
		}
		s.forbidden[namespace] = k.command(namespace)
	}
	return s
}

// command says how a namespace lets the operator act.
func (k *Keeper) command(namespace string) string {
	return fmt.Sprintf("the operator may not write the status of pods in this namespace; to allow it: kubectl create rolebinding %[1]s --clusterrole=%[1]s --serviceaccount=%[2]s:%[3]s -n %[4]s",
		clusterRole, k.o.ServiceAccount.Namespace, k.o.ServiceAccount.Name, namespace)
}

// clusterRole is the one that install writes (internal/cli/install/operator_role.go).
const clusterRole = "maek-check-in-service"

// boundsFor reads what the policies say of namespaces.
func (k *Keeper) boundsFor(ctx context.Context, namespaces map[string]bool) (map[string]bounds, error) {
	var policies v1alpha1.CheckPolicyList
	if err := k.o.Reader.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("listing CheckPolicies: %w", err)
	}
	out := make(map[string]bounds, len(namespaces))
	for name := range namespaces {
		var namespace corev1.Namespace
		err := k.o.Reader.Get(ctx, client.ObjectKey{Name: name}, &namespace)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, fmt.Errorf("reading namespace %s: %w", name, err)
		}
		if out[name], err = boundsOf(&namespace, policies.Items); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readChecks reads the checks for which pods are out.
func (k *Keeper) readChecks(ctx context.Context, s *state) error {
	held := slices.DeleteFunc(s.ledger.outs(), func(e entry) bool {
		w, seen := s.pods[e.UID]
		return !seen || !w.out()
	})
	for _, e := range append(held, s.dry.outs()...) {
		var check v1alpha1.Check
		err := k.o.Reader.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: e.CheckName}, &check)
		switch {
		case apierrors.IsNotFound(err):
			s.checks[e.Check] = nil
		case err != nil:
			return fmt.Errorf("reading Check %s/%s: %w", e.Namespace, e.CheckName, err)
		case check.UID != e.Check:
			s.checks[e.Check] = nil
		default:
			s.checks[e.Check] = &check
		}
	}
	return nil
}

// readSiblings reads the pods of namespaces.
func (k *Keeper) readSiblings(ctx context.Context, s *state, namespaces map[string]bool) error {
	s.siblings, s.workloads = map[types.UID]sibling{}, map[string][]types.UID{}
	for namespace := range namespaces {
		var pods corev1.PodList
		if err := k.o.Reader.List(ctx, &pods, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("listing pods of namespace %s: %w", namespace, err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			of := workload(p)
			s.siblings[p.UID] = sibling{
				name: p.Name, workload: of, created: p.CreationTimestamp.Time, terminating: p.DeletionTimestamp != nil,
			}
			s.workloads[of] = append(s.workloads[of], p.UID)
		}
	}
	return nil
}

// crowd notes of which checks too many pods fail at a time, or did so before.
func (k *Keeper) crowd(s *state) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, r := range s.records {
		if reds := r.reds(); reds > max(1, mayFail(len(r.pods), s.bounds[r.check.Namespace].maxFailingPercent)) {
			k.crowds[uid] = k.age
		}
	}
	for uid, at := range k.crowds {
		s.crowds[uid] = k.age - at
	}
}

// weather says that checks fail together, or did so a short time ago.
func (k *Keeper) weather(ctx context.Context, s *state) error {
	var checks v1alpha1.CheckList
	if err := k.o.Reader.List(ctx, &checks, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing Checks: %w", err)
	}
	s.storm = storm(checks.Items, s.records)
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.storm != "" {
		k.storm = k.age
	}
	if k.storm != never {
		s.calm = k.age - k.storm
	}
	return nil
}

package operator

import (
	"context"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// Entries are all checks with their states.
func (o *Operator) Entries() []kuberhealthy.Entry { return o.engine.Entries() }

// Report stores a report.
func (o *Operator) Report(ctx context.Context, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	return o.engine.Report(ctx, from, report)
}

// Metrics of the operator itself.
func (o *Operator) Metrics() prometheus.Gatherer { return o.metrics }

// Core is the client of core/v1 for those who show pods and their logs.
func (o *Operator) Core() corev1client.CoreV1Interface { return o.apis.core }

// Standing tells what this replica is among the others.
func (o *Operator) Standing() kuberhealthy.Standing {
	members := o.ring.Members()
	var s kuberhealthy.Standing
	if len(members) > 0 {
		s.Master = members[0]
	}
	s.Leading = s.Master == o.o.Pod && o.takeover.Adopted()
	s.Able = o.health.ready.Load() && slices.Contains(members, o.o.Pod)
	if note := o.takeover.Note(); note != "" {
		s.Notes = append(s.Notes, note)
	}
	return s
}

// RunNow begins a run out of turn. It returns a *kuberhealthy.Refusal where none is to be begun.
func (o *Operator) RunNow(ctx context.Context, check kuberhealthy.Check) error {
	if note := o.takeover.Note(); note != "" {
		return &kuberhealthy.Refusal{Status: http.StatusServiceUnavailable, Message: note}
	}
	return o.engine.RunNow(ctx, check)
}

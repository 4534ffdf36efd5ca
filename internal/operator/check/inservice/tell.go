package inservice

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Reasons of the Events, beside those of the actions.
const (
	eventTakenOut  = "TakenOutOfService"
	eventGivenBack = "GivenBackToService"
	eventWithheld  = "KeptInService"
	eventForbidden = "ReadinessGateForbidden"
)

const (
	// messageMost bounds messages of conditions and consequences
	// (api/maek/v1alpha1/checkstatus_types.go, Consequence.Message).
	messageMost = 512
	// noteMost bounds what an Event says (pkg/apis/core/validation/events.go, noteLengthLimit).
	noteMost = 1024
)

// telling is one thing that is told once while it goes on.
type telling struct {
	check, pod types.UID
	reason     string
}

// metrics of what is done.
type metrics struct {
	actions *prometheus.CounterVec
	out     prometheus.Gauge
}

func newMetrics() metrics {
	return metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "maek_in_service_actions_total",
			Help: "Pods that were opened, taken out of service, given back or withheld by this replica, by reason.",
		}, []string{"action", "reason", "dry_run"}),
		out: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "maek_in_service_pods_out",
			Help: "Pods of the cluster that the condition maek.dev/in-service holds back.",
		}),
	}
}

func (m metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.actions, m.out} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

func (m metrics) count(action, reason string, dry bool) {
	m.actions.WithLabelValues(action, reason, strconv.FormatBool(dry)).Inc()
}

// tell tells of an action everywhere: Events on the pod and the check, a line in the check's status, and the
// metric. A pod that is withheld is told of once for each reason.
func (k *Keeper) tell(a action, done v1alpha1.ConsequenceAction, at time.Time) {
	kind, reason := corev1.EventTypeNormal, eventGivenBack
	switch done {
	case v1alpha1.ActionTakenOut:
		kind, reason = corev1.EventTypeWarning, eventTakenOut
	case v1alpha1.ActionWithheld:
		reason = eventWithheld
		t := telling{check: a.check.UID, pod: a.pod.uid, reason: a.reason}
		k.mu.Lock()
		told := k.told[t]
		k.told[t] = true
		k.mu.Unlock()
		if told {
			return
		}
	case v1alpha1.ActionGivenBack:
	}
	k.metrics.count(string(done), a.reason, a.dry)
	note := a.reason + ": " + a.message
	if a.dry {
		note = "DryRun: " + note
	}
	note = cut(note, noteMost)
	p := object(a.pod)
	if a.check == nil {
		k.o.Events.Eventf(p, nil, kind, reason, string(done), "%s", note)
		return
	}
	// Whoever changes an object that a cache has changes everybody's.
	check := &v1alpha1.Check{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Check"}, ObjectMeta: metav1.ObjectMeta{
		Namespace: a.check.Namespace, Name: a.check.Name, UID: a.check.UID,
	}}
	k.o.Events.Eventf(p, check, kind, reason, string(done), "%s", note)
	k.o.Events.Eventf(check, p, kind, reason, string(done), "%s", cut("pod "+a.pod.Name+": "+note, noteMost))
	k.o.Tell(a.check.UID, []v1alpha1.Consequence{{
		At: metav1.NewTime(at), Action: done, DryRun: a.dry, Pod: a.pod.Name, Reason: a.reason, Message: cut(a.message, messageMost),
	}})
}

// forgetTold forgets what was told of pods that do not fail any more, so that it is told anew the next time.
func (k *Keeper) forgetTold(s *state) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for t := range k.told {
		if t.check == "" {
			if _, there := s.pods[t.pod]; !there {
				delete(k.told, t)
			}
			continue
		}
		if r := s.records[t.check]; r == nil || r.pods[t.pod].color != red {
			delete(k.told, t)
		}
	}
}

// object is a pod as Events need it.
func object(p pod) runtime.Object {
	return &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, UID: p.uid,
	}}
}

// cut shortens a text to so many bytes, and leaves its characters whole.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	most -= len("…")
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// complain logs an error that may last, once while it does. None is its end.
func (k *Keeper) complain(ctx context.Context, message string, err error) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	k.mu.Lock()
	known := k.complaints[message] == text
	k.complaints[message] = text
	k.mu.Unlock()
	if !known && err != nil {
		k.o.Log.Warn(message, "error", err)
	}
}

package object

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/incident/lifecycle"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// controller is what Events name as their reporter.
	controller = "maek.dev/operator"
	// noteBytes and instanceBytes are the API server's bounds
	// (k8s.io/kubernetes/pkg/apis/core/validation, events.go).
	noteBytes     = 1024
	instanceBytes = 128
)

// tell tells of a transition: with the Incident, and with the object at its root, where people look first.
// An Event that is not written is not missed: the Incident tells the same.
func (w *Writer) tell(ctx context.Context, n lifecycle.Notice, incident *v1alpha1.Incident, subject corev1.ObjectReference) {
	own := corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Incident", Name: incident.Name, UID: incident.UID}
	references := []corev1.ObjectReference{own}
	if subject.Kind != "" {
		references = append(references, subject)
	}
	for i, regarding := range references {
		if !w.events.TryAccept() {
			return
		}
		e := w.event(n, fmt.Sprintf("%s.%x.%d", incident.Name, w.o.Now().UnixNano(), i), regarding)
		if related := references[len(references)-1-i]; related != regarding {
			e.Related = &related
		}
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		err := w.o.API.createEvent(bounded, e)
		cancel()
		w.o.Wrote("event", err == nil)
		if err != nil {
			w.o.Log.Debug("an Event could not be written", "reason", n.Reason, "error", err)
		}
	}
}

func (w *Writer) event(n lifecycle.Notice, name string, regarding corev1.ObjectReference) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: cmp.Or(regarding.Namespace, metav1.NamespaceDefault), Name: name},
		EventTime:  metav1.NewMicroTime(w.o.Now()), ReportingController: controller, ReportingInstance: head(w.o.Instance, instanceBytes),
		Action: "Diagnosing", Reason: string(n.Reason), Regarding: regarding, Note: head(n.Text.In(w.o.Language), noteBytes), Type: eventType(n),
	}
}

// head are the first bytes of a text, cut between characters.
func head(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	return strings.ToValidUTF8(text[:bytes], "")
}

// refer finds the objects that Events of transitions are about, while there is a snapshot to find them in.
func (w *Writer) refer(s *snapshot.Snapshot) {
	next := map[v1alpha1.Subject]corev1.ObjectReference{}
	for _, subject := range w.book.Noticed(eventsAtOnce) {
		if r, ok := reference(s, subject); ok {
			next[subject] = r
		} else if r, ok := w.references[subject]; ok {
			// It is gone since, as what ends an incident may be.
			next[subject] = r
		}
	}
	w.references = next
}

// reference finds a subject among the objects of a snapshot.
func reference(s *snapshot.Snapshot, subject v1alpha1.Subject) (r corev1.ObjectReference, found bool) {
	for _, k := range s.Kinds() {
		if k.Kind != subject.Kind || k.Namespaced() != (subject.Namespace != "") {
			continue
		}
		s.Each(k, func(o snapshot.Object) {
			if !found && o.GetName() == subject.Name && o.GetNamespace() == subject.Namespace {
				found = true
				r = corev1.ObjectReference{
					APIVersion: k.GroupVersionKind().GroupVersion().String(), Kind: k.Kind, Namespace: subject.Namespace, Name: subject.Name, UID: o.GetUID(),
				}
			}
		})
	}
	return r, found
}

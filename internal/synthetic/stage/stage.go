// Package stage puts objects into a cluster for a scenario, waits for what becomes of them, and takes
// them away again, whatever happens in between.
//
// Everything that it makes carries the labels of its scenario and run, and the time after which
// anybody may remove it. So what a run leaves that was killed is found by the next one (Sweep), or
// removed by the garbage collector with the pod that the run lived in.
package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// ManagedBy is the value of the label app.kubernetes.io/managed-by on all that scenarios make.
	ManagedBy = "maek"
	// LabelManagedBy is the recommended label of who manages an object:
	// https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// LabelSource has the value "kuberhealthy", which Kuberhealthy's pod status check passes over.
	LabelSource = "source"
	// LabelCheck has the scenario's name as its value.
	LabelCheck = "khcheck"
	// LabelRun has Environment.RunID as its value.
	LabelRun = "maek.dev/run"
	// AnnotationExpires is when anybody may remove the object, as RFC 3339.
	AnnotationExpires = "maek.dev/expires"
)

// retryFor bounds how long a write is tried again that the API server could not serve.
const retryFor = 30 * time.Second

// Stage is what one run of a scenario has in the cluster.
type Stage struct {
	// Client, Clock and Log are the run's.
	Client client.WithWatch
	Clock  clock.WithTicker
	Log    *slog.Logger
	// Scenario and Run name what is made.
	Scenario, Run string
	// Expires is when what is made may be removed by anybody: a time that the run does not outlive.
	Expires time.Time
	// Owner is the pod that the run lives in; nil where it lives in none, or may not read it.
	Owner *corev1.Pod

	made  []client.Object
	notes []string
}

// Selector chooses everything that this run has made.
func (s *Stage) Selector() client.MatchingLabels {
	return client.MatchingLabels{LabelManagedBy: ManagedBy, LabelCheck: s.Scenario, LabelRun: s.Run}
}

// Labels are those of all that the run makes.
func (s *Stage) Labels() map[string]string {
	return map[string]string{LabelManagedBy: ManagedBy, LabelSource: "kuberhealthy", LabelCheck: s.Scenario, LabelRun: s.Run}
}

// Notes tell what was odd and no failure, such as a write that went through at the third attempt.
func (s *Stage) Notes() []string { return s.notes }

// Name makes a name that is this run's own: it begins with prefix, cut where needed so that pods of
// it still have a valid one.
func (s *Stage) Name(prefix string) string {
	// A DaemonSet's or Job's name goes, with its pods, into a label value of 63 characters; "-" and five
	// random ones follow, for a Deployment "-" and ten before that.
	const longest = 63 - 1 - 5 - 1 - 10
	prefix = strings.ToLower(prefix)
	if room := longest - 1 - len(s.Run); len(prefix) > room {
		prefix = strings.TrimRight(prefix[:max(room, 1)], "-.")
	}
	return prefix + "-" + s.Run
}

// Make creates an object with the run's labels, expiry and owner. It tries again where the API server
// could not serve it; its error is one sentence without "error".
func (s *Stage) Make(ctx context.Context, o client.Object) error {
	s.stamp(o)
	what := s.what(o)
	// Remembered first: that the answer was lost does not mean that the object was not made.
	s.made = append(s.made, o)
	err := s.insist(ctx, "creating "+what, func(attempt int) error {
		err := s.Client.Create(ctx, o)
		if attempt > 1 && apierrors.IsAlreadyExists(err) {
			return s.Client.Get(ctx, client.ObjectKeyFromObject(o), o)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("creating %s: %w", what, Refused(err))
	}
	return nil
}

func (s *Stage) stamp(o client.Object) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, s.Labels())
	o.SetLabels(labels)
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationExpires] = s.Expires.UTC().Format(time.RFC3339)
	o.SetAnnotations(annotations)
	if s.Owner != nil && s.Owner.Namespace == o.GetNamespace() {
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: s.Owner.Name, UID: s.Owner.UID}})
	}
}

// insist calls until it succeeds, fails for good, or has failed for retryFor.
func (s *Stage) insist(ctx context.Context, doing string, call func(attempt int) error) error {
	began := s.Clock.Now()
	var first error
	for attempt := 1; ; attempt++ {
		err := call(attempt)
		if err == nil {
			if first != nil {
				s.notes = append(s.notes, fmt.Sprintf("%s succeeded at attempt %d only: %v", doing, attempt, Refused(first)))
			}
			return nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil || !transient(err) || s.Clock.Since(began) >= retryFor {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-s.Clock.After(pauseAfterFailure):
		}
	}
}

// Remove asks the API server to remove an object, and what hangs on it; it is fine where there is none.
func (s *Stage) Remove(ctx context.Context, o client.Object) error {
	what := s.what(o)
	err := s.insist(ctx, "deleting "+what, func(int) error {
		return client.IgnoreNotFound(s.Client.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	})
	if err != nil {
		return fmt.Errorf("deleting %s: %w", what, Refused(err))
	}
	s.made = slices.DeleteFunc(s.made, func(m client.Object) bool {
		return reflect.TypeOf(m) == reflect.TypeOf(o) && client.ObjectKeyFromObject(m) == client.ObjectKeyFromObject(o)
	})
	return nil
}

// Abandon removes a pod at once, though its kubelet does not say that it has ended. It is for pods that hold
// nothing, on nodes that do not answer: a kubelet that comes back ends what the API server does not know.
func (s *Stage) Abandon(ctx context.Context, p *corev1.Pod) error {
	what := s.what(p)
	err := s.insist(ctx, "deleting "+what, func(int) error {
		return client.IgnoreNotFound(s.Client.Delete(ctx, p, client.GracePeriodSeconds(0)))
	})
	if err != nil {
		return fmt.Errorf("deleting %s: %w", what, Refused(err))
	}
	return nil
}

// Strike removes what was made and not yet removed, the last first. It goes on over failures and
// returns them all.
func (s *Stage) Strike(ctx context.Context) error {
	var all []error
	for _, o := range slices.Backward(slices.Clone(s.made)) {
		if err := s.Remove(ctx, o); err != nil {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// Sweep removes what earlier runs of this scenario have left in a namespace ("" for all) of the kinds
// of lists, and whose time is over, or what is of this run: a container before this one made that, and was
// killed. It is to be called before anything is made. It returns how many objects that were; kinds that it may
// not list it passes over.
func (s *Stage) Sweep(ctx context.Context, namespace string, lists ...client.ObjectList) (removed int, err error) {
	var all []error
	for _, list := range lists {
		opts := []client.ListOption{client.InNamespace(namespace), client.MatchingLabels{LabelManagedBy: ManagedBy, LabelCheck: s.Scenario}}
		err := s.Client.List(ctx, list, opts...)
		if apierrors.IsForbidden(err) {
			continue
		}
		if err != nil {
			return removed, fmt.Errorf("listing %s that earlier runs left: %w", kindOf(s.Client, list), Refused(err))
		}
		err = meta.EachListItem(list, func(item runtime.Object) error {
			o, ok := item.(client.Object)
			if !ok || !o.GetDeletionTimestamp().IsZero() || !s.expired(o) && o.GetLabels()[LabelRun] != s.Run {
				return nil
			}
			if err := s.Remove(ctx, o); err != nil {
				all = append(all, err)
				return nil
			}
			s.Log.Info("removed what an earlier run left", "kind", kindOf(s.Client, o), "namespace", o.GetNamespace(), "name", o.GetName())
			removed++
			return nil
		})
		if err != nil {
			return removed, err
		}
	}
	return removed, errors.Join(all...)
}

func (s *Stage) expired(o client.Object) bool {
	expires, err := time.Parse(time.RFC3339, o.GetAnnotations()[AnnotationExpires])
	return err == nil && s.Clock.Now().After(expires)
}

func (s *Stage) what(o client.Object) string {
	if o.GetNamespace() == "" {
		return kindOf(s.Client, o) + " " + o.GetName()
	}
	return kindOf(s.Client, o) + " " + o.GetNamespace() + "/" + o.GetName()
}

func singular(kind string) string { return strings.TrimSuffix(kind, "List") }

package run

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// Entries returns all checks with their states, by namespace, name and kind, from the caches of this
// replica: nothing before Run has filled them. Their maps are the caches' own and are not to be written
// to.
func (e *Engine) Entries() []kuberhealthy.Entry {
	if entries := e.entries.Load(); entries != nil {
		return (*entries)()
	}
	return nil
}

func (e *Engine) entriesNow(ctx context.Context) []kuberhealthy.Entry {
	var entries []kuberhealthy.Entry
	namespace, now := e.o.Settings().Namespace, e.o.Clock.Now()
	states := map[types.NamespacedName]*khv1.KuberhealthyState{}
	if e.kinds.ready(stateKind) {
		e.each(ctx, stateKind, func(o client.Object) {
			state, _ := o.(*khv1.KuberhealthyState)
			states[client.ObjectKeyFromObject(o)] = state
		})
	}
	for _, kind := range []schema.GroupVersionKind{checkKind, jobKind, healthCheckKind} {
		if !e.kinds.ready(kind) {
			continue
		}
		e.each(ctx, kind, func(o client.Object) {
			if namespace != "" && namespace != o.GetNamespace() {
				return
			}
			name := client.ObjectKeyFromObject(o)
			s := assemble(key{kind.Kind, name}, o, states[stateName(name)])
			entry := kuberhealthy.Entry{Check: s.check, State: s.state}
			if s.state.Running {
				entry.Pod = e.podOf(ctx, s)
			}
			if at, again := kuberhealthy.Next(s.check, s.state.Credible(now)); again && !s.check.Done {
				entry.Next = at
			}
			entries = append(entries, entry)
		})
	}
	slices.SortFunc(entries, func(a, b kuberhealthy.Entry) int {
		return cmp.Or(cmp.Compare(a.Check.Namespace, b.Check.Namespace), cmp.Compare(a.Check.Name, b.Check.Name), cmp.Compare(a.Check.Kind, b.Check.Kind))
	})
	return entries
}

func (e *Engine) podOf(ctx context.Context, s *subject) string {
	pods, err := e.podsOf(ctx, s.check.UID, s.Namespace)
	if err != nil {
		return ""
	}
	for _, pod := range pods {
		if kuberhealthy.RunIDOf(pod) == s.state.Run.ID {
			return pod.Name
		}
	}
	return ""
}

// RunNow asks for a run of a check as soon as its owner can begin it. The wish is written into the
// check's object, so that it outlives this replica. It returns a *kuberhealthy.Refusal where the check
// is gone (404), a run goes on (409), or the check runs once and has (409).
func (e *Engine) RunNow(ctx context.Context, check kuberhealthy.Check) error {
	k := key{check.Kind, check.NamespacedName}
	if !e.kinds.ready(k.gvk()) {
		return gone(k)
	}
	s, err := e.subject(ctx, k)
	if err != nil {
		return err
	}
	switch {
	case s == nil || s.check.Deleting || check.UID != "" && s.check.UID != check.UID:
		return gone(k)
	case s.state.Running:
		return &kuberhealthy.Refusal{Status: http.StatusConflict, Message: "a run of " + k.String() + " goes on"}
	}
	s.state = s.state.Credible(e.o.Clock.Now())
	if _, again := kuberhealthy.Next(s.check, s.state); !again || s.check.Done {
		return &kuberhealthy.Refusal{Status: http.StatusConflict, Message: k.String() + " runs once, and has"}
	}
	// Version 3 records starts in whole seconds, and the wish must be after the last of them.
	at := later(e.o.Clock.Now(), s.state.Run.Started).Truncate(time.Second).Add(time.Second).UTC()
	object, _ := s.object.DeepCopyObject().(client.Object)
	before, _ := object.DeepCopyObject().(client.Object)
	annotations := object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[v1alpha1.AnnotationRunNow] = at.Format(time.RFC3339)
	object.SetAnnotations(annotations)
	if err := e.o.Client.Patch(ctx, object, client.MergeFrom(before)); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return gone(k)
		}
		return fmt.Errorf("wishing for a run of %s: %w", k, err)
	}
	return nil
}

func gone(k key) error {
	return &kuberhealthy.Refusal{Status: http.StatusNotFound, Message: "there is no " + k.String()}
}

package kuberhealthy

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// StateOfV2 reads what a KuberhealthyState, which may be nil, tells of the check or job with the UID. It
// is nothing where the state is that of another: of an object of that name that is gone, or of the job
// that shares the name of a check. What Kuberhealthy itself has written belongs to whoever asks.
//
// Neither counts nor the times of earlier ends are kept there; they are zero.
func StateOfV2(object *khv1.KuberhealthyState, owner types.UID) State {
	if object == nil {
		return State{}
	}
	of, ours := object.Annotations[v1alpha1.AnnotationRunOf]
	if ours && of != string(owner) {
		return State{}
	}
	spec := object.Spec
	state := State{Run: Run{ID: spec.CurrentUUID}}
	if started, ok := moment(object, v1alpha1.AnnotationRunStarted); ours && ok {
		state.Run.Started = started
		state.Running = object.Annotations[v1alpha1.AnnotationRunEnded] == ""
	}
	// It is created before the first run ends; only then does it get a writer.
	if spec.AuthoritativePod == "" || spec.LastRun == nil {
		return state
	}
	state.Ended, state.EndedAt = true, spec.LastRun.Time
	if ended, ok := moment(object, v1alpha1.AnnotationRunEnded); ok {
		state.EndedAt = ended
	}
	state.OK, state.Errors = outcome(spec.OK, spec.Errors)
	state.Duration = max(parsed(spec.RunDuration), 0)
	state.Node, state.Writer = spec.Node, spec.AuthoritativePod
	return state
}

// Occupied tells that a KuberhealthyState, which may be nil, records a run that goes on, and whose it is.
// A check and a job of one name share their state: the one waits for the other.
func Occupied(object *khv1.KuberhealthyState) (owner types.UID, run Run, occupied bool) {
	if object == nil || object.Annotations[v1alpha1.AnnotationRunOf] == "" {
		return "", Run{}, false
	}
	owner = types.UID(object.Annotations[v1alpha1.AnnotationRunOf])
	state := StateOfV2(object, owner)
	return owner, state.Run, state.Running
}

// ToV2 returns the KuberhealthyState of a check in this state: the object that is there with its spec
// and its annotations set and all else as it was, or a new one where that is nil. It is a copy.
func (s State) ToV2(check Check, object *khv1.KuberhealthyState) *khv1.KuberhealthyState {
	if object == nil {
		object = &khv1.KuberhealthyState{ObjectMeta: metav1.ObjectMeta{Namespace: check.Namespace, Name: StateName(check.Name)}}
	} else {
		object = object.DeepCopy()
	}
	spec := khv1.State{
		OK:          true,
		Errors:      []string{},
		Namespace:   check.Namespace,
		CurrentUUID: s.Run.ID,
		KHWorkload:  object.Spec.KHWorkload,
	}
	if s.Ended {
		spec.OK, spec.Errors = s.OK, append(spec.Errors, s.Errors...)
		spec.LastRun = new(metav1.NewTime(s.EndedAt))
		spec.RunDuration = RunDurationV2(s)
		spec.Node, spec.AuthoritativePod = s.Node, s.Writer
	}
	object.Spec = spec
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations[v1alpha1.AnnotationRunOf] = string(check.UID)
	note(object.Annotations, v1alpha1.AnnotationRunStarted, s.Run.Started)
	note(object.Annotations, v1alpha1.AnnotationRunEnded, time.Time{})
	if s.Ended && !s.Running {
		note(object.Annotations, v1alpha1.AnnotationRunEnded, s.EndedAt)
	}
	return object
}

// RunDurationV2 is a state's RunDuration in version 2: empty where nothing has run, or where the last run
// could not be carried out.
func RunDurationV2(s State) string {
	if !s.Ended || !s.OK && s.Duration == 0 {
		return ""
	}
	return s.Duration.String()
}

// note writes a moment down, or removes what is written where it is zero.
func note(annotations map[string]string, key string, at time.Time) {
	if at.IsZero() {
		delete(annotations, key)
		return
	}
	annotations[key] = at.UTC().Format(time.RFC3339Nano)
}

func moment(object metav1.Object, key string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, object.GetAnnotations()[key])
	return at, err == nil
}

// parsed reads a duration that this or another program wrote; zero for what is none.
func parsed(written string) time.Duration {
	d, err := time.ParseDuration(written)
	if err != nil {
		return 0
	}
	return d
}

package object

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/operator/incident/lifecycle"
)

const (
	// writesPerSecond and writesAtOnce bound writes of Incidents, whatever happens to the cluster.
	writesPerSecond = 10
	writesAtOnce    = 40
	// eventsPerSecond and eventsAtOnce bound Events; what is beyond is dropped, for an Incident tells the
	// same.
	eventsPerSecond = 1
	eventsAtOnce    = 30
	// batch is how many steps are taken before it is asked again what is most urgent.
	batch = 10
	// relist is how often it is looked whether somebody else changed or deleted Incidents.
	relist = 30 * time.Second
	// retrySoon and retryLate are the pauses after a failure: at first, and where the kind is not installed.
	retrySoon = 2 * time.Second
	retryLate = time.Minute
	// requestTimeout bounds one request.
	requestTimeout = 10 * time.Second
)

// Options say what a Writer writes.
type Options struct {
	// API to write to.
	API *API
	// Book that says what is to be written.
	Book *lifecycle.Book
	// Language of Events.
	Language finding.Language
	// Instance of this program that Events name.
	Instance string
	// Wrote is told of every request: its verb, and whether it succeeded.
	Wrote func(verb string, ok bool)
	// Log of what cannot be written.
	Log *slog.Logger
	// Now is this machine's clock.
	Now func() time.Time
}

// Writer makes the objects in the API server those that a book wants.
type Writer struct {
	o      Options
	writes flowcontrol.RateLimiter
	events flowcontrol.RateLimiter
	kick   chan struct{}

	mu   sync.Mutex
	book *lifecycle.Book
	// references are the objects that Events of transitions to come are about.
	references map[v1alpha1.Subject]corev1.ObjectReference

	// said are the kinds of failures that were logged since all went well.
	said map[string]bool
}

// NewWriter makes a writer. The book is its own from then on.
func NewWriter(o Options) *Writer {
	return &Writer{
		o: o, book: o.Book, kick: make(chan struct{}, 1), said: map[string]bool{},
		writes: flowcontrol.NewTokenBucketRateLimiter(writesPerSecond, writesAtOnce),
		events: flowcontrol.NewTokenBucketRateLimiter(eventsPerSecond, eventsAtOnce),
	}
}

// View is what a book held after a diagnosis.
type View struct {
	// Statuses of all incidents, by the names of their objects. They are shared: do not write to them.
	Statuses map[string]v1alpha1.IncidentStatus
	// Unwritten incidents, of which there are too many.
	Unwritten int
	// Lingering tells that another diagnosis is wanted soon.
	Lingering bool
}

// Take takes in a diagnosis. What follows from it is written in time.
func (w *Writer) Take(d diagnosis.Diagnosis) View {
	w.mu.Lock()
	w.book.Take(d)
	w.refer(d.Snapshot)
	v := View{Statuses: w.book.Statuses(), Unwritten: w.book.Unwritten(), Lingering: w.book.Lingering()}
	w.mu.Unlock()
	select {
	case w.kick <- struct{}{}:
	default:
	}
	return v
}

// Run writes until ctx ends. ready is closed once it is known what is stored, or that nobody can say.
func (w *Writer) Run(ctx context.Context, ready chan<- struct{}) {
	listed := time.Time{}
	for {
		pause := relist
		if now := w.o.Now(); now.Sub(listed) >= relist {
			err := w.load(ctx)
			if ready != nil && (err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
				close(ready)
				ready = nil
			}
			if err != nil {
				listed = time.Time{}
				if !w.wait(ctx, w.failed(ctx, err), false) {
					return
				}
				continue
			}
			listed = now
		}
		if err := w.steps(ctx); err != nil {
			pause = w.failed(ctx, err)
		} else {
			w.worked()
		}
		if !w.wait(ctx, pause, pause == relist) {
			return
		}
	}
}

func (w *Writer) load(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	objects, err := w.o.API.list(bounded)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.book.Load(objects)
	w.mu.Unlock()
	return nil
}

// worked takes note that everything could be read and written.
func (w *Writer) worked() {
	if len(w.said) > 0 {
		clear(w.said)
		w.o.Log.Info("Incidents can be read and written again")
	}
}

// failed logs a failure once, and says how long to wait.
func (w *Writer) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	missing := apierrors.IsNotFound(err)
	said := string(apierrors.ReasonForError(err))
	if said == "" {
		said = "no answer"
	}
	repeated := w.said[said]
	if w.said[said] = true; !repeated {
		if missing {
			w.o.Log.Warn("the kind Incident of maek.dev is not installed: incidents are told in metrics alone", "error", err)
		} else {
			w.o.Log.Warn("Incidents cannot be read or written; it is tried again", "error", err)
		}
	}
	// An API server that has just started forbids what it allows a second later.
	if missing || repeated && apierrors.IsForbidden(err) {
		return retryLate
	}
	return retrySoon
}

// wait waits, for news of the book too where awake is set; false where ctx ended.
func (w *Writer) wait(ctx context.Context, pause time.Duration, awake bool) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	kick := w.kick
	if !awake {
		kick = nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-kick:
	}
	return ctx.Err() == nil
}

// steps does all that is to be done. The error is one that concerns all of it.
func (w *Writer) steps(ctx context.Context) error {
	for {
		w.mu.Lock()
		steps := w.book.Steps()
		w.mu.Unlock()
		if len(steps) == 0 {
			return nil
		}
		for _, s := range steps[:min(len(steps), batch)] {
			if err := w.step(ctx, s); err != nil {
				return err
			}
		}
	}
}

// step does one thing. Conflicts with others are settled by reading anew, what the API server will never
// take is left, and anything else is an error.
func (w *Writer) step(ctx context.Context, s lifecycle.Step) error {
	stored, verb, err := w.write(ctx, s)
	switch {
	case err == nil:
		w.mu.Lock()
		w.book.Wrote(s, stored)
		references := w.references
		w.mu.Unlock()
		for _, n := range s.Notices {
			w.tell(ctx, n, stored, references[n.Subject])
		}
		return nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		w.o.Log.Error("an Incident was refused", "incident", s.Name, "error", err)
		w.mu.Lock()
		w.book.Refuse(s)
		w.mu.Unlock()
		return nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && verb != "create":
		return w.reread(ctx, s.Name)
	default:
		return err
	}
}

// write does what a step asks for and returns what is stored then.
func (w *Writer) write(ctx context.Context, s lifecycle.Step) (stored *v1alpha1.Incident, verb string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	count := func(verb string, err error) { w.o.Wrote(verb, err == nil) }
	if err := w.writes.Wait(ctx); err != nil {
		return nil, "", err
	}
	if s.Delete {
		err := w.o.API.remove(ctx, s.Stored)
		count("delete", err)
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return nil, "delete", err
	}
	stored = s.Stored
	if stored == nil {
		stored, err = w.o.API.create(ctx, s.Name)
		count("create", err)
		if err != nil {
			return nil, "create", err
		}
		w.mu.Lock()
		w.book.Store(s.Name, stored)
		w.mu.Unlock()
		if err := w.writes.Wait(ctx); err != nil {
			return nil, "update", err
		}
	}
	next := stored.DeepCopy()
	next.Status = s.Status
	stored, err = w.o.API.updateStatus(ctx, next)
	count("update", err)
	return stored, "update", err
}

// reread takes in one object as it is stored.
func (w *Writer) reread(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	object, err := w.o.API.get(ctx, name)
	if apierrors.IsNotFound(err) {
		object, err = nil, nil
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.book.Store(name, object)
	w.mu.Unlock()
	return nil
}

// eventType is that of a transition.
func eventType(n lifecycle.Notice) string {
	if n.Reason == lifecycle.Closed {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

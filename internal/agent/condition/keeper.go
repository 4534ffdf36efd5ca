package condition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
)

// stored is the name under which the keeper's state is kept.
const stored = "conditions"

// How often things happen.
const (
	// every is how often the diagnosis is looked at.
	every = 5 * time.Second
	// brake is the least time between two patches of the Node, however much changes.
	brake = 10 * time.Second
	// heartbeat is how often conditions are written that did not change. Readers believe them for an hour.
	heartbeat = 15 * time.Minute
	// clearAfter is how long a finding must be gone before its condition is taken back, so that one that
	// comes and goes stays.
	clearAfter = time.Minute
)

// maxMessage is how long the message of a condition or event may be, in bytes
// (an event's is validated: kubernetes/pkg/apis/core/validation/events.go).
const maxMessage = 1000

// Writer writes to the API server.
type Writer interface {
	// PatchConditions writes conditions of the own Node.
	PatchConditions(ctx context.Context, conditions []corev1.NodeCondition) error
	// RemoveConditions takes conditions off the own Node; those that it does not have are no error.
	RemoveConditions(ctx context.Context, types []corev1.NodeConditionType) error
	// CreateEvent writes an event.
	CreateEvent(ctx context.Context, e *corev1.Event) error
}

// Options of a keeper.
type Options struct {
	// Node is the own Node's name.
	Node string
	// UID of the Node object; empty while it is not known.
	UID func() string
	// Diagnose says what is wrong with the machine.
	Diagnose func(context.Context) diagnosis.Diagnosis
	// Writer writes; nil keeps account and writes nothing.
	Writer Writer
	// Withdraw takes back the conditions that an earlier process wrote, and writes nothing else: a condition
	// that nobody keeps any more would be believed for ever.
	Withdraw bool
	// Store keeps the account across restarts.
	Store monitor.Store
	// Now is the machine's clock.
	Now func() time.Time
	// Log of what could not be written.
	Log *slog.Logger
}

// Keeper keeps account of problems, and the Node's conditions like it.
type Keeper struct {
	o Options

	mu    sync.Mutex
	state state
	// patched is when the Node was last patched, or it was tried.
	patched time.Time
	// failed counts tries in vain since the last success, and retry is when the next may come.
	failed int
	retry  time.Time
	spread time.Duration
	events *queue
}

// state is what is kept on disk.
type state struct {
	Conditions map[corev1.NodeConditionType]held `json:"conditions"`
	// Active are the incidents that were told of, by identity.
	Active map[string]active `json:"active"`
	// Counts of problems since the beginning, by reason.
	Counts map[string]int64 `json:"counts"`
	Queue  []corev1.Event   `json:"queue,omitempty"`
	// OnNode tells that the Node has conditions that this keeper wrote.
	OnNode bool `json:"onNode,omitempty"`
}

// held is a condition.
type held struct {
	Status  corev1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message"`
	// Since is when Status came to be so.
	Since time.Time `json:"since"`
	// Seen is when a finding last showed it.
	Seen time.Time `json:"seen,omitzero"`
	// Written is when the Node was last given this; zero where it was not yet.
	Written time.Time `json:"written,omitzero"`
}

// active is an incident that was told of.
type active struct {
	Code  finding.Code `json:"code"`
	Title string       `json:"title"`
	// Seen is when it was last there.
	Seen time.Time `json:"seen"`
}

// Problems is the account for node-problem-detector's metrics.
type Problems struct {
	// Gauges of all conditions.
	Gauges []Gauge
	// Counts of problems by reason.
	Counts map[string]int64
}

// Gauge tells whether a condition is so.
type Gauge struct {
	Type, Reason string
	Present      bool
}

// New makes a keeper that goes on where an earlier process stopped.
func New(o Options) (*Keeper, error) {
	k := &Keeper{o: o, spread: spreadOf(o.Node)}
	data, err := o.Store.Load(stored)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		o.Log.Warn("the account of conditions cannot be read; it begins anew", "error", err)
	default:
		if err := json.Unmarshal(data, &k.state); err != nil {
			o.Log.Warn("the account of conditions cannot be read; it begins anew", "error", err)
			k.state = state{}
		}
	}
	if k.state.Conditions == nil {
		k.state.Conditions = map[corev1.NodeConditionType]held{}
	}
	if k.state.Active == nil {
		k.state.Active = map[string]active{}
	}
	if k.state.Counts == nil {
		k.state.Counts = map[string]int64{}
	}
	k.events = newQueue(k.state.Queue, o.Now)
	return k, nil
}

// Run keeps account until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			k.Step(ctx)
		}
	}
}

// Step looks at the diagnosis once, and writes what changed.
func (k *Keeper) Step(ctx context.Context) {
	d := k.o.Diagnose(ctx)
	k.mu.Lock()
	changed := k.judge(d)
	changed = k.tell(d) || changed
	k.mu.Unlock()
	if k.o.Writer != nil {
		changed = k.write(ctx) || changed
	}
	if changed {
		if err := k.save(); err != nil {
			k.o.Log.Error("the account of conditions could not be kept", "error", err)
		}
	}
}

func (k *Keeper) save() error {
	k.mu.Lock()
	k.state.Queue = k.events.list()
	data, err := json.Marshal(k.state)
	k.mu.Unlock()
	if err != nil {
		return fmt.Errorf("encoding the account of conditions: %w", err)
	}
	return k.o.Store.Save(stored, data)
}

// judge brings the conditions in line with the findings, and says whether any changed.
func (k *Keeper) judge(d diagnosis.Diagnosis) (changed bool) {
	now := k.o.Now()
	machine, reported := d.Snapshot.Machine(k.o.Node)
	for _, kind := range kinds {
		was, had := k.state.Conditions[kind.Type]
		is := held{Status: corev1.ConditionFalse, Reason: kind.good, Message: kind.goodText, Since: now}
		if i := slices.IndexFunc(d.Findings, func(f diagnosis.Placed) bool {
			return reported && f.Severity != finding.Info && kind.shows(machine, f.Finding)
		}); i >= 0 {
			f := d.Findings[i].Finding
			is = held{Status: corev1.ConditionTrue, Reason: kind.reason, Message: message(f), Since: now, Seen: now}
			if is.Reason == "" {
				is.Reason = string(f.Code)
			}
			if !f.Since.IsZero() && f.Since.Before(now) {
				is.Since = f.Since
			}
		} else {
			if was.Status == corev1.ConditionTrue && now.Sub(was.Seen) < clearAfter {
				continue
			}
			unread := func(monitor string) bool { return !reported || !machine.Looked(monitor) }
			if slices.ContainsFunc(kind.monitors, unread) {
				// Nobody could look: that is neither good nor bad, and a condition that was never told stays untold.
				if !had {
					continue
				}
				is = held{Status: corev1.ConditionUnknown, Reason: "NotChecked", Message: "the agent could not look: see its report", Since: now}
			}
		}
		if had && was.Status == is.Status {
			is.Since = was.Since
			if was.Reason == is.Reason && was.Message == is.Message {
				was.Seen = is.Seen
				k.state.Conditions[kind.Type] = was
				continue
			}
		} else if is.Status == corev1.ConditionTrue {
			k.state.Counts[is.Reason]++
		}
		k.state.Conditions[kind.Type] = is
		changed = true
	}
	return changed
}

// tell queues events for incidents that begin and end, and says whether there are any.
func (k *Keeper) tell(d diagnosis.Diagnosis) (changed bool) {
	now := k.o.Now()
	for _, i := range d.Incidents {
		f := i.Root
		_, known := k.state.Active[i.ID]
		k.state.Active[i.ID] = active{Code: f.Code, Title: f.Title.In(finding.English), Seen: now}
		if known {
			continue
		}
		changed = true
		k.state.Counts[string(f.Code)]++
		k.say(corev1.EventTypeWarning, f.Code, message(f))
	}
	for id, a := range k.state.Active {
		if now.Sub(a.Seen) >= clearAfter {
			delete(k.state.Active, id)
			changed = true
			k.say(corev1.EventTypeNormal, a.Code, "no longer so: "+a.Title)
		}
	}
	return changed
}

// Problems is the account so far.
func (k *Keeper) Problems() Problems {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := Problems{Counts: maps.Clone(k.state.Counts)}
	for _, kind := range kinds {
		reason := kind.reason
		c := k.state.Conditions[kind.Type]
		if c.Status == corev1.ConditionTrue {
			reason = c.Reason
		}
		if reason == "" {
			reason = string(kind.Type)
		}
		p.Gauges = append(p.Gauges, Gauge{Type: string(kind.Type), Reason: reason, Present: c.Status == corev1.ConditionTrue})
	}
	return p
}

// message is what a condition or an event says of a finding.
func message(f finding.Finding) string {
	text := f.Title.In(finding.English)
	if why := f.Why.In(finding.English); why != "" {
		text += ". " + why
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
	}
	return text
}

// say queues an event, unless none are to be written.
func (k *Keeper) say(kind string, code finding.Code, message string) {
	if !k.o.Withdraw {
		k.events.add(k.event(kind, code, message))
	}
}

func (k *Keeper) event(kind string, code finding.Code, message string) corev1.Event {
	now := metav1.NewTime(k.o.Now())
	return corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			// Named by its moment, as client-go's recorder names them (tools/record/event.go).
			Name: fmt.Sprintf("%s.%x.%d", k.o.Node, now.UnixNano(), k.events.added()),
			// Events about objects without a namespace are in default (kubernetes/pkg/apis/core/validation/events.go).
			Namespace: metav1.NamespaceDefault,
		},
		InvolvedObject: corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: k.o.Node, UID: types.UID(k.o.UID())},
		Type:           kind, Reason: string(code), Message: message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: "maek-agent", Host: k.o.Node},
		ReportingController: "maek.dev/agent", ReportingInstance: k.o.Node,
	}
}

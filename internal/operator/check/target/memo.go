package target

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/operator/check/plan"
)

const (
	// rememberFor is how long what was read of a Secret or a ConfigMap is used: what changes is taken up
	// within it.
	rememberFor = time.Minute
	// refuseFor is how long a refusal is: who has just granted what was missing waits for it.
	refuseFor = 10 * time.Second
	// outliveFor is how long what was read is used beyond that while the API server does not answer.
	outliveFor = 10 * time.Minute
)

// memo keeps what was made of Secrets and ConfigMaps. What no check asks for any more is forgotten.
type memo struct {
	now func() time.Time

	mu    sync.Mutex
	kept  map[string]remembered
	swept time.Time
}

// remembered is what was read, or why it could not be used.
type remembered struct {
	value any
	err   error
	// until is when it is read again, and unless when it is no longer used whatever happens.
	until, unless time.Time
}

// remember returns what is kept under a key, or reads it.
func remember[T any](ctx context.Context, m *memo, key string, read func(context.Context) (T, error)) (T, error) {
	now := m.now()
	m.mu.Lock()
	m.sweep(now)
	old, found := m.kept[key]
	m.mu.Unlock()
	previous, fits := old.value.(T)
	if found && now.Before(old.until) {
		return previous, old.err
	}
	value, err := read(ctx)
	entry := remembered{value: value, err: err, until: now.Add(rememberFor), unless: now.Add(rememberFor + outliveFor)}
	if _, refused := errors.AsType[*plan.Refusal](err); err != nil && !refused {
		// Nobody answers: that is no reason to ask without what was good a minute ago.
		if !found || !fits || old.err != nil || now.After(old.unless) {
			return value, err
		}
		entry.value, entry.err, entry.until, entry.unless = previous, nil, now.Add(refuseFor), old.unless
		value, err = previous, nil
	} else if refused {
		entry.until, entry.unless = now.Add(refuseFor), now.Add(refuseFor)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[key] = entry
	return value, err
}

// sweep forgets what has not been asked for since it ran out. Secrets are not kept longer than needed.
func (m *memo) sweep(now time.Time) {
	if now.Sub(m.swept) < rememberFor {
		return
	}
	m.swept = now
	maps.DeleteFunc(m.kept, func(_ string, r remembered) bool { return now.After(r.unless) })
}

package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// stopWithin is how long the parts of one stage may take to stop. There are four, and the installed
// Deployment gives the pod 30 s.
const stopWithin = 7 * time.Second

// errNoReason is why a part ended that gave none.
var errNoReason = errors.New("it gave no reason")

// stage is a set of parts that are stopped together.
type stage struct {
	ctx     context.Context //nolint:containedctx // a stage is the life of its parts
	cancel  context.CancelFunc
	abandon context.CancelCauseFunc

	group   sync.WaitGroup
	mu      sync.Mutex
	running []string
}

// newStage returns a stage whose parts end with ctx at the latest; abandon is called with the reason
// where one of them ends by itself.
func newStage(ctx context.Context, abandon context.CancelCauseFunc) *stage {
	ctx, cancel := context.WithCancel(ctx)
	return &stage{ctx: ctx, cancel: cancel, abandon: abandon}
}

func (s *stage) start(name string, part func(context.Context) error) {
	s.mu.Lock()
	s.running = append(s.running, name)
	s.mu.Unlock()
	s.group.Go(func() {
		err := part(s.ctx)
		if s.ctx.Err() == nil {
			if err == nil {
				err = errNoReason
			}
			s.abandon(fmt.Errorf("%s ended before its time: %w", name, err))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running = slices.DeleteFunc(s.running, func(n string) bool { return n == name })
	})
}

// stop ends the parts, and waits for them for a while.
func (s *stage) stop(clock clock.Clock, log *slog.Logger) {
	s.cancel()
	ended := make(chan struct{})
	go func() {
		s.group.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-clock.After(stopWithin):
		s.mu.Lock()
		defer s.mu.Unlock()
		log.Warn("parts are left behind that do not stop", "parts", s.running)
	}
}

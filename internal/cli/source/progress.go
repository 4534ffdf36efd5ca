package source

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// quietFor is how long nothing is said: most clusters are read by then.
	quietFor = time.Second
	// progressEvery is how often the line is written anew.
	progressEvery = 200 * time.Millisecond
)

// progress tells a person at a terminal that long work goes on. It is safe for concurrent use.
type progress struct {
	out   io.Writer
	now   func() time.Time
	began time.Time

	mu      sync.Mutex
	objects map[snapshot.Kind]int
	last    time.Time
	shown   bool
}

func newProgress(inv *invocation.Invocation) *progress {
	p := &progress{now: inv.Now, began: inv.Now(), objects: map[snapshot.Kind]int{}}
	if inv.ErrTerminal {
		p.out = inv.ErrOut
	}
	return p
}

// update takes in how many objects of a kind have been read so far.
func (p *progress) update(k snapshot.Kind, objects int) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects[k] = objects
	now := p.now()
	if now.Sub(p.began) < quietFor || now.Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = now, true
	total := 0
	for _, n := range p.objects {
		total += n
	}
	// A terminal that cannot be written to is no reason to stop reading the cluster.
	_, _ = fmt.Fprintf(p.out, "%sreading %s: %d objects of %d kinds", invocation.ClearLine, k.Resource, total, len(p.objects))
}

// end removes the line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		_, _ = io.WriteString(p.out, invocation.ClearLine)
	}
}

// Package progress tells a person what a long command does and how long each part took.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// announceAfter is how long a step may be silent before it is announced.
const announceAfter = 3 * time.Second

// Printer writes one line a step. It is safe for use by several goroutines.
type Printer struct {
	mu    sync.Mutex
	w     io.Writer
	now   func() time.Time
	start time.Time
}

// New returns a printer to w that reads the time from now; the total runs from here on.
func New(w io.Writer, now func() time.Time) *Printer {
	return &Printer{w: w, now: now, start: now()}
}

// Step runs do and says what was done and how long it took. A step that takes long is announced before it is done.
func (p *Printer) Step(what string, do func() error) error {
	start := p.now()
	timer := time.AfterFunc(announceAfter, func() { p.line("      …  " + what) })
	err := do()
	timer.Stop()
	if err != nil {
		p.line(fmt.Sprintf("%s  %s: failed", seconds(p.now().Sub(start)), what))
		return err
	}
	p.line(fmt.Sprintf("%s  %s", seconds(p.now().Sub(start)), what))
	return nil
}

// Say writes a line of its own.
func (p *Printer) Say(text string) { p.line(text) }

// Total says what is done and how long all of it took.
func (p *Printer) Total(what string) {
	p.line(fmt.Sprintf("%s  %s", seconds(p.now().Sub(p.start)), what))
}

func (p *Printer) line(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintln(p.w, text) // progress that cannot be shown is no reason to stop
}

func seconds(d time.Duration) string { return fmt.Sprintf("%6.1fs", d.Seconds()) }

package monitor

import (
	"time"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Changes remembers since when values are as they are, as far as a monitor has watched. The zero value has
// watched nothing yet. It is for one goroutine at a time.
type Changes struct {
	now    time.Time
	first  bool
	values map[snapshot.EvidenceKey]change
}

// change is a value, and since when it is so; zero where it was so at the first look already.
type change struct {
	value string
	at    time.Time
}

// Look begins a look at a moment of the machine's clock.
func (c *Changes) Look(now time.Time) {
	c.first, c.now = c.values == nil, now
	if c.first {
		c.values = map[snapshot.EvidenceKey]change{}
	}
}

// Since adds to evidence since when it is so. Of what was so at the first look nobody knows.
func (c *Changes) Since(e snapshot.MachineEvidence) snapshot.MachineEvidence {
	last, known := c.values[e.Key]
	if !known || last.value != e.Value {
		last = change{value: e.Value}
		if !c.first {
			last.at = c.now
		}
		c.values[e.Key] = last
	}
	return Since(e, last.at)
}

package machine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// followBack is how much of the past --follow begins with, so that it shows at once what goes on.
const followBack = 30 * time.Second

// silentAfter is how long nothing is printed of what was named, before it is said what there is instead.
const silentAfter = 3 * time.Second

// chosen are the sources whose lines are printed.
type chosen struct {
	names []string

	mu sync.Mutex
	// printed tells whether a line of theirs came, and passed whose lines came that were not asked for.
	printed bool
	passed  map[string]bool
}

// takes tells whether a line is printed.
func (c *chosen) takes(writer, source string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wanted(c.names, writer, source) {
		c.printed = true
		return true
	}
	if c.passed == nil {
		c.passed = map[string]bool{}
	}
	c.passed[cmp.Or(writer, source)] = true
	return false
}

// hint tells a user who waits for lines of nobody whose lines there are; empty where none is needed.
func (c *chosen) hint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.printed || len(c.names) == 0 {
		return ""
	}
	hint := fmt.Sprintf("no line of %s so far", strings.Join(c.names, ", "))
	if len(c.passed) > 0 {
		hint += "; there are lines of " + strings.Join(slices.Sorted(maps.Keys(c.passed)), ", ")
	}
	return hint
}

// wanted tells whether a log line is of one of the sources that were named: its writer, its unit, or a
// part of the name of its log. Without names all are.
func wanted(names []string, writer, source string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool {
		name = unitName(name)
		return unitName(writer) == name || strings.Contains(source, name)
	})
}

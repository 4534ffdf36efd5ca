package schedule

import (
	"cmp"
	"container/heap"
	"time"
)

// spare is how many times as many runs as there are free workers a group may have: of a class's workers one such
// group takes spare parts of spare+1. Runs are not interrupted, so that whoever comes next would otherwise wait until
// those end that took all workers together.
const spare = 7

// pool are the workers of a class and the tasks that wait for one.
type pool struct {
	workers int
	// running is how many workers there are now, and starting how many of them have not looked for a task
	// yet.
	running, starting int
	// busy is how many runs go on, and waiting how many tasks wait.
	busy, waiting int
	// groups that have tasks or runs.
	groups map[string]*group
	// contenders are those whose tasks wait.
	contenders contenders
}

// group returns a group, which it makes where there is none.
func (p *pool) group(name string) *group {
	g, ok := p.groups[name]
	if !ok {
		g = &group{pool: p, name: name, index: nowhere}
		g.ready.group = g
		p.groups[name] = g
	}
	return g
}

// first is the task that the next worker takes; nil where none waits, and where those who wait have so many runs
// that the free workers are kept for others.
func (p *pool) first() *entry {
	if len(p.contenders) == 0 {
		return nil
	}
	// Who comes first has the fewest runs: where that is too many, all others have too many as well.
	g := p.contenders[0]
	if free := p.workers - p.busy - p.starting; len(p.groups) > 1 && g.running >= spare*free {
		return nil
	}
	return g.ready.first()
}

// lag is for how long the task waits that has waited longest.
func (p *pool) lag(now time.Time) (longest time.Duration) {
	for _, g := range p.contenders {
		longest = max(longest, now.Sub(g.ready.first().due))
	}
	return longest
}

// group are the tasks of a class that belong together.
type group struct {
	pool *pool
	name string
	// tasks is how many it has, and running how many runs of it go on.
	tasks, running int
	// ready are the tasks that wait for a worker.
	ready queue
	// index is its place among the contenders.
	index int
}

// settle puts the group where it belongs among those that wait.
func (g *group) settle() {
	waits, in := len(g.ready.entries) > 0, g.index != nowhere
	switch {
	case waits && in:
		heap.Fix(&g.pool.contenders, g.index)
	case waits:
		heap.Push(&g.pool.contenders, g)
	case in:
		heap.Remove(&g.pool.contenders, g.index)
	}
}

// admit adds to its tasks, or takes from them.
func (g *group) admit(tasks int) {
	g.tasks += tasks
	g.end()
}

// run adds to its runs, or takes from them.
func (g *group) run(runs int) {
	g.running += runs
	g.pool.busy += runs
	g.settle()
	g.end()
}

// end forgets a group that nothing is left of.
func (g *group) end() {
	if g.tasks == 0 && g.running == 0 {
		delete(g.pool.groups, g.name)
	}
}

// contenders is a heap of groups: first those that the fewest runs go on of, and of these the one that has waited
// longest.
type contenders []*group

// Len implements [heap.Interface].
func (c contenders) Len() int { return len(c) }

// Less implements [heap.Interface].
func (c contenders) Less(i, j int) bool {
	a, b := c[i], c[j]
	if a.running != b.running {
		return a.running < b.running
	}
	return cmp.Or(a.ready.first().due.Compare(b.ready.first().due), cmp.Compare(a.name, b.name)) < 0
}

// Swap implements [heap.Interface].
func (c contenders) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].index, c[j].index = i, j
}

// Push implements [heap.Interface].
func (c *contenders) Push(x any) {
	g := x.(*group)
	g.index = len(*c)
	*c = append(*c, g)
}

// Pop implements [heap.Interface].
func (c *contenders) Pop() any {
	last := len(*c) - 1
	g := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	g.index = nowhere
	return g
}

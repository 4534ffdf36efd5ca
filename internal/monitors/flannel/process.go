package flannel

import (
	"slices"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/processes"
)

// programs finds programs by the name that the kernel knows them by. It remembers where one was, so that
// all processes are only gone through when one is not there.
type programs struct {
	host  monitor.Host
	known map[string]processes.Process
}

// find returns the command lines of programs, of one process each, and their process ids.
func (p *programs) find(names ...string) (map[string][]string, map[string]int, error) {
	gone := func(name string) bool {
		process, known := p.known[name]
		return !known || process.Name() != name
	}
	if slices.ContainsFunc(names, gone) {
		if err := p.search(names); err != nil {
			return nil, nil, err
		}
	}
	commands, ids := map[string][]string{}, map[string]int{}
	for name, process := range p.known {
		commands[name], ids[name] = process.Command(), process.ID
	}
	return commands, ids, nil
}

func (p *programs) search(names []string) error {
	all, err := processes.All(p.host)
	if err != nil {
		return err
	}
	p.known = map[string]processes.Process{}
	for process := range all {
		running := process.Name()
		for _, name := range names {
			if _, taken := p.known[name]; running == name && !taken {
				p.known[name] = process
			}
		}
	}
	return nil
}

package flannel

import (
	"path"
	"strconv"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// processes finds programs by the name that the kernel knows them by. It remembers where one was, so
// that the process table is only gone through when one is not there any more.
type processes struct {
	host monitor.Host
	pids map[string]int
}

// commandBytes bounds a command line.
const commandBytes = 64 << 10

// find returns the command lines of programs, of one process each, and their process ids.
func (p *processes) find(programs ...string) (map[string][]string, map[string]int, error) {
	found := map[string][]string{}
	missing := map[string]bool{}
	for _, program := range programs {
		pid, known := p.pids[program]
		if known && p.name(strconv.Itoa(pid)) == program {
			found[program] = p.command(strconv.Itoa(pid))
		} else {
			missing[program] = true
		}
	}
	if len(missing) > 0 {
		entries, err := p.host.ReadDir("/proc")
		if err != nil {
			return nil, nil, err
		}
		p.pids = map[string]int{}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			name := p.name(e.Name())
			for _, program := range programs {
				if _, taken := p.pids[program]; name == program && !taken {
					p.pids[program] = pid
					found[program] = p.command(e.Name())
				}
			}
		}
	}
	return found, p.pids, nil
}

// name of a process; empty where it has ended.
func (p *processes) name(pid string) string {
	data, err := p.host.ReadFile(path.Join("/proc", pid, "comm"), commandBytes)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (p *processes) command(pid string) []string {
	data, err := p.host.ReadFile(path.Join("/proc", pid, "cmdline"), commandBytes)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

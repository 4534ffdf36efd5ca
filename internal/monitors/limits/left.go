package limits

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/cgroups"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// leftTold is from how many on the processes that are left in a container are told.
	leftTold = 20
	// containersTold is of how many containers they are told, those with most.
	containersTold = 10
	// settled is how long after a container's start the servers that it is made of start. They may have forked twice
	// (daemon(7)), and their sessions have lost their first process, too.
	settled = 5 * time.Minute
)

// leavings are the processes of one container whose session has lost its first process, which left them to the
// container's own first process.
type leavings struct {
	to             process
	ended, running int
	names          map[string]int
}

// left tells the containers in which commands that were run in them have left many processes. Whoever runs a
// command in a container, as a kubelet does for a probe, gives it a session of its own
// (https://github.com/opencontainers/runc/blob/main/libcontainer/nsenter/nsexec.c), and is its parent. What the
// command leaves behind when it ends, or is killed for its timeout, which reaches nothing else
// (https://github.com/containerd/containerd/issues/4594), goes to the container's first process: a session whose
// first process is gone. Children of a program's own are in its session, and servers that leave it lead theirs, but
// for those that forked twice, and what a child with a session of its own left when it was killed, such as a browser's
// helpers: who reads this must hold the name against the commands.
func (w *watch) left(table map[string]process) []snapshot.MachineEvidence {
	by := map[string]*leavings{}
	for _, p := range table {
		if _, leads := table[p.session]; leads || p.session == "0" || p.parent == "0" || p.parent == "1" {
			continue
		}
		first := table[p.parent]
		if p.state != 'Z' && p.begun-first.begun < settled {
			continue
		}
		l := by[p.parent]
		if l == nil {
			l = &leavings{to: first, names: map[string]int{}}
			by[p.parent] = l
		}
		if p.state == 'Z' {
			l.ended++
		} else {
			l.running++
		}
		l.names[p.name]++
	}
	most := slices.SortedFunc(maps.Values(by), func(a, b *leavings) int {
		return cmp.Or(cmp.Compare(b.ended+b.running, a.ended+a.running), cmp.Compare(a.to.id, b.to.id))
	})
	var out []snapshot.MachineEvidence
	told := 0
	for _, l := range most {
		if l.ended+l.running < leftTold || told == containersTold {
			break
		}
		container, pod := w.container(l.to)
		if container == "" {
			continue
		}
		told++
		key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("limit", "left", container, word) }
		out = append(out, monitor.Int(key("ended"), l.ended), monitor.Int(key("running"), l.running),
			monitor.Value(key("name"), l.name()), monitor.Value(key("to"), l.to.name))
		if pod != "" {
			out = append(out, monitor.Value(key("pod"), pod))
		}
	}
	return out
}

// name of most of them.
func (l *leavings) name() string {
	return slices.MinFunc(slices.Collect(maps.Keys(l.names)), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.names[b], l.names[a]), cmp.Compare(a, b))
	})
}

// containerGroup is how container runtimes name the group of a container, with either driver:
// cri-containerd-ID.scope, crio-ID.scope, docker-ID.scope, or the id alone.
var containerGroup = regexp.MustCompile(`(?:^|[/-])([0-9a-f]{64})(?:\.scope)?$`)

// container whose first process it is, by its id, and the UID of its pod; empty where it is none. The first process
// of a container has the number 1 in its own namespace, which is the machine's next (NSpid of proc_pid_status(5)):
// what runs containers within its own has a third.
func (w *watch) container(p process) (id, pod string) {
	status, err := w.host.ReadFile("/proc/"+p.id+"/status", fileLimit)
	if err != nil {
		return "", ""
	}
	first := false
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			numbers := strings.Fields(ids)
			first = len(numbers) == 2 && numbers[1] == "1"
		}
	}
	groups, err := w.host.ReadFile("/proc/"+p.id+"/cgroup", fileLimit)
	if err != nil || !first {
		return "", ""
	}
	for line := range strings.Lines(string(groups)) {
		group := strings.TrimSpace(line)
		if m := containerGroup.FindStringSubmatch(group); m != nil {
			return m[1], cgroups.PodOf(group)
		}
	}
	return "", ""
}

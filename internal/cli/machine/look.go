package machine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/cli/source"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// looked is what was seen of this machine, and through its agent of others.
type looked struct {
	here
	began time.Time
	// report of this machine, of both its agent and this program.
	report snapshot.MachineReport
	// agent tells whether its agent answered; others are the reports it passed on, silent those it could
	// not.
	agent  bool
	others []snapshot.MachineReport
	silent map[string]string
	// skips are what could not be asked.
	skips []finding.Skip
}

// look reads the machine with its monitors, and meanwhile asks the agent; of other machines only where
// others is true.
func (o *Options) look(ctx context.Context, inv *invocation.Invocation, others bool) (looked, error) {
	l := looked{began: inv.Now()}
	var err error
	if l.here, err = lookHere(o.Root); err != nil {
		return l, err
	}
	watched, longest := l.watched(o.Root, inv.Now, o.EtcdHash), lookTime
	for _, m := range watched {
		longest = max(longest, m.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	if !l.root {
		l.skips = append(l.skips, finding.Skip{Reason: finding.Text{
			EN: "this program does not run as root, and much of a machine is for root alone: run it with sudo",
			KO: "이 프로그램이 root로 실행되지 않았습니다. 머신의 많은 부분은 root만 읽을 수 있으므로 sudo로 실행하십시오",
		}})
	}
	a := agentAt(o.Root)
	kept, err := a.own(ctx)
	if l.agent = err == nil; l.agent {
		l.id.Node = kept.Node
	} else if !errors.Is(err, errNoAgent) {
		l.skips = append(l.skips, finding.Skip{Reason: finding.Verbatim(err.Error())})
	}
	var wg sync.WaitGroup
	wg.Go(func() { l.report = monitor.NewRunner(l.id, watched, inv.Now, nil).Once(ctx) })
	var failed error
	if l.agent && others {
		wg.Go(func() { l.others, l.silent, failed = a.others(ctx, l.id.Node, rule.Keys(rule.OnMachines(o.Rules))) })
	}
	wg.Wait()
	if failed != nil {
		l.skips = append(l.skips, finding.Skip{Reason: finding.Verbatim(failed.Error())})
	}
	if l.agent {
		l.report = merge(l.report, kept, watched)
	}
	return l, nil
}

// remembering are the monitors whose evidence is what they saw over time: the agent, which has watched
// for longer, knows more.
var remembering = map[string]bool{"logs": true, "reboots": true}

// history are values of other monitors of which the same holds: what was counted, or seen to begin, since
// the monitor has watched.
var history = []snapshot.EvidenceKey{
	"unit/*/failing-since", "unit/*/restarts-10m", "filesystem/*/bytes-per-hour", "multipath/map/*/paths-seen",
	"oom/recent", "oom/cgroup/*/recent", "oom/cgroup/*/recent-at-own-limit",
	"etcd/metrics/leader-changes-lately", "etcd/metrics/proposals-failed-lately", "etcd/metrics/slow-applies-lately",
	"etcd/metrics/heartbeats-late-lately", "etcd/compaction/unchanged", "etcd/compaction/writes",
}

// merge makes one report of what was read just now and what the agent knows. What both have is taken as
// it was read now, except from monitors that remember; what could not be read now is taken from the agent.
func merge(now, kept snapshot.MachineReport, watched []monitor.Monitor) snapshot.MachineReport {
	out := now
	out.Evidence, out.Reads, out.Gaps = nil, nil, nil
	fromAgent := map[string]bool{}
	known := map[string]bool{}
	for _, m := range watched {
		known[m.Name] = true
		mine, its := lookedOf(now, m.Name), lookedOf(kept, m.Name)
		fromAgent[m.Name] = its && (remembering[m.Name] || !mine)
	}
	mine := func(name string) bool { return known[name] && !fromAgent[name] }
	// The first segment of a key belongs to one monitor.
	prefixes := map[string]bool{}
	for _, m := range watched {
		for _, k := range m.Keys {
			first, _, _ := strings.Cut(string(k.Pattern), "/")
			prefixes[first] = mine(m.Name)
		}
	}
	take := func(r snapshot.MachineReport, isMine bool) {
		for _, e := range r.Evidence {
			if first, _, _ := strings.Cut(string(e.Key), "/"); prefixes[first] == isMine {
				out.Evidence = append(out.Evidence, e)
			}
		}
		for _, read := range r.Reads {
			if mine(read.Monitor) == isMine {
				out.Reads = append(out.Reads, read)
			}
		}
		for _, g := range r.Gaps {
			if mine(g.Monitor) == isMine {
				out.Gaps = append(out.Gaps, g)
			}
		}
	}
	recall(&now, kept)
	take(now, true)
	take(kept, false)
	out.Sort()
	return out
}

// recall adds to what was read now what only the agent can know: history, and since when a value is as
// it is.
func recall(now *snapshot.MachineReport, kept snapshot.MachineReport) {
	before := make(map[snapshot.EvidenceKey]snapshot.MachineEvidence, len(kept.Evidence))
	for _, e := range kept.Evidence {
		before[e.Key] = e
	}
	isHistory := func(e snapshot.MachineEvidence) bool { return slices.ContainsFunc(history, e.Key.Fits) }
	evidence := make([]snapshot.MachineEvidence, 0, len(now.Evidence))
	for _, e := range now.Evidence {
		known, ok := before[e.Key]
		switch {
		case ok && isHistory(e):
			continue
		case ok && e.At == nil && known.Value == e.Value:
			e.At = known.At
		}
		evidence = append(evidence, e)
	}
	for _, e := range kept.Evidence {
		if isHistory(e) {
			evidence = append(evidence, e)
		}
	}
	now.Evidence = evidence
}

// lookedOf tells whether a monitor looked and left no gap.
func lookedOf(r snapshot.MachineReport, name string) bool {
	return slices.ContainsFunc(r.Reads, func(m snapshot.MonitorRead) bool { return m.Monitor == name }) &&
		!slices.ContainsFunc(r.Gaps, func(g snapshot.MachineGap) bool { return g.Monitor == name })
}

// snapshot is all that was seen, as rules read it. What this user could not read counts as a gap.
func (l looked) snapshot() *snapshot.Snapshot {
	b := snapshot.NewBuilder(l.report.ObservedAt.Time, snapshot.Source{Name: l.id.Machine, Machine: l.id.Node})
	b.AddMachine(l.report)
	for _, r := range l.others {
		b.AddMachine(r)
	}
	for node, why := range l.silent {
		b.AddUnreported(node, why)
	}
	return b.Build()
}

// diagnose judges the machine, and through its agent the others.
func (o *Options) diagnose(ctx context.Context, inv *invocation.Invocation) error {
	var (
		l    looked
		err  error
		seen *v1alpha1.APIServerSeen
		wg   sync.WaitGroup
	)
	wg.Go(func() { seen = askAPIServer(ctx, o.Root) })
	l, err = o.look(ctx, inv, true)
	wg.Wait()
	if err != nil {
		return err
	}
	reading := o.judge(ctx, l)
	return o.Output.PrintMachine(inv, diagnosis.Diagnose(reading.Result, o.Rules), reading, l.document(seen), l.root)
}

// judge runs the rules that stand on machines alone.
func (o *Options) judge(ctx context.Context, l looked) *source.Reading {
	s := l.snapshot()
	reading := source.Judged(rule.Evaluate(ctx, s, rule.OnMachines(o.Rules), nil, rule.DefaultBudget), l.began)
	reading.Result.Skips = append(slices.Clone(l.skips), reading.Result.Skips...)
	return reading
}

// document is what the report says of the machine itself.
func (l looked) document(seen *v1alpha1.APIServerSeen) *v1alpha1.Machine {
	m := &v1alpha1.Machine{
		Name: cmp.Or(l.id.Machine, l.id.Node), OS: l.os, Kernel: l.kernel,
		Agent: l.agent, AgentsAsked: len(l.others) + len(l.silent), APIServer: seen,
	}
	for node := range l.silent {
		m.AgentsSilent = append(m.AgentsSilent, node)
	}
	slices.Sort(m.AgentsSilent)
	if seen != nil && !seen.Answers {
		m.Running = running(l.report)
	}
	return m
}

// namesOfRunning is how many pods of a namespace are named.
const namesOfRunning = 8

// running are the pods that the container runtime says run here, by namespace.
func running(r snapshot.MachineReport) []v1alpha1.RunningPods {
	b := snapshot.NewBuilder(r.ObservedAt.Time, snapshot.Source{})
	b.AddMachine(r)
	m, _ := b.Build().Machine(r.Node)
	names := map[string][]string{}
	for _, uid := range m.Names("sandbox/*/pod") {
		if m.Value(snapshot.KeyOf("sandbox", uid, "state")) != "ready" {
			continue
		}
		namespace, name, ok := strings.Cut(m.Value(snapshot.KeyOf("sandbox", uid, "pod")), "/")
		if ok {
			names[namespace] = append(names[namespace], name)
		}
	}
	var out []v1alpha1.RunningPods
	for namespace, list := range names {
		slices.Sort(list)
		out = append(out, v1alpha1.RunningPods{Namespace: namespace, Pods: len(list), Names: list[:min(len(list), namesOfRunning)]})
	}
	slices.SortFunc(out, func(a, b v1alpha1.RunningPods) int { return strings.Compare(a.Namespace, b.Namespace) })
	return out
}

// withVersion says of a report what it is, for those who read it as a document.
func withVersion(r snapshot.MachineReport) snapshot.MachineReport {
	r.TypeMeta = metav1.TypeMeta{APIVersion: snapshot.MachineReportVersion, Kind: "MachineReport"}
	return r
}

package dump

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/collect/bundle"
	"github.com/maek-dev/maek/internal/collect/live"
	"github.com/maek-dev/maek/internal/snapshot"
)

// The choices of --logs.
const (
	logsNone = "none"
	logsSick = "sick"
	logsAll  = "all"
)

const (
	// sickPodsOf is how many sick pods of one workload are taken: the others say the same.
	sickPodsOf = 3
	// recently is how long ago a container's last end still makes it sick.
	recently = time.Hour
	// progressEvery is how often the progress is written anew.
	progressEvery = 200 * time.Millisecond
)

// logOptions say which containers' logs go into a bundle, beside those that answer a rule's question.
type logOptions struct {
	which string
	lines int
	each  resource.QuantityValue
	total resource.QuantityValue
}

func (o *logOptions) add(set *pflag.FlagSet) {
	o.each.Quantity, o.total.Quantity = resource.MustParse("256Ki"), resource.MustParse("64Mi")
	set.StringVar(&o.which, "logs", logsSick, "containers whose logs to take, current and previous: none, sick or all")
	set.IntVar(&o.lines, "log-lines", 200, "how many lines of each log to take, counted from the end")
	set.Var(&o.each, "log-bytes", "how much of each log to take")
	set.Var(&o.total, "log-total", "how much to take of all logs together")
}

func (o *logOptions) validate(recorded bool, set *pflag.FlagSet) error {
	switch {
	case o.which != logsNone && o.which != logsSick && o.which != logsAll:
		return exit.Misused("--logs %q is no choice; write none, sick or all", o.which)
	case o.lines <= 0, o.each.Value() <= 0, o.total.Value() <= 0:
		return exit.Misused("--log-lines, --log-bytes and --log-total leave nothing of a log; write numbers above zero, or --logs none")
	case recorded && set.Changed("logs") && o.which != logsNone:
		return exit.Misused("--logs %s needs a cluster, and --from is a bundle; leave one of them out", o.which)
	}
	return nil
}

// read reads the logs that were chosen, as the bundle takes them, until they are as much as all may be.
func (o *logOptions) read(ctx context.Context, inv *invocation.Invocation, client *live.Client, s *snapshot.Snapshot) iter.Seq[bundle.Log] {
	questions := containers(s, o.which)
	limits := live.LogLimits{Lines: o.lines, Bytes: int(min(o.each.Value(), o.total.Value()))}
	return func(yield func(bundle.Log) bool) {
		var said time.Time
		n, left := 0, o.total.Value()
		for q, a := range client.Logs(ctx, questions, limits) {
			n++
			if now := inv.Now(); inv.ErrTerminal && now.Sub(said) >= progressEvery {
				said = now
				// A terminal that cannot be written to is no reason to stop.
				_, _ = fmt.Fprintf(inv.ErrOut, "%sreading logs: %d of %d", invocation.ClearLine, n, len(questions))
			}
			log := bundle.Log{Question: q, Text: a.Text}
			switch a.Outcome {
			case snapshot.Answered:
				left -= int64(len(a.Text))
			case snapshot.Absent:
				continue // the container has no such run any more
			default:
				log.Error = a.Error
			}
			if left < 0 {
				for _, q := range questions[n-1:] {
					if !yield(bundle.Log{Question: q, Error: "--log-total " + o.total.String() + " was reached"}) {
						break
					}
				}
				break
			}
			if !yield(log) {
				break
			}
		}
		if !said.IsZero() {
			_, _ = fmt.Fprint(inv.ErrOut, invocation.ClearLine)
		}
	}
}

// containers are the logs to read: of the control plane's containers first, then by namespace and name.
func containers(s *snapshot.Snapshot, which string) []snapshot.Question {
	if which == logsNone {
		return nil
	}
	taken := map[v1alpha1.Subject]int{}
	var out []snapshot.Question
	for _, p := range snapshot.List[*corev1.Pod](s) {
		var of []snapshot.Question
		for _, statuses := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for i := range statuses {
				if which == logsAll || sick(p, &statuses[i], s.Now()) {
					of = append(of, runs(p, &statuses[i])...)
				}
			}
		}
		if len(of) == 0 {
			continue
		}
		if which == logsSick {
			owner := ownerOf(p)
			if taken[owner]++; taken[owner] > sickPodsOf {
				continue
			}
		}
		out = append(out, of...)
	}
	rank := func(q snapshot.Question) int {
		if q.Namespace == metav1.NamespaceSystem {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b snapshot.Question) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// ownerOf is the controller of a pod, or the pod itself.
func ownerOf(p *corev1.Pod) v1alpha1.Subject {
	if ref := metav1.GetControllerOf(p); ref != nil {
		return v1alpha1.Subject{Kind: ref.Kind, Namespace: p.Namespace, Name: ref.Name}
	}
	return v1alpha1.Subject{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
}

// sick tells whether a container fails, waits after it ran, is not ready, or ended badly not long ago.
func sick(p *corev1.Pod, c *corev1.ContainerStatus, now time.Time) bool {
	if ended := c.State.Terminated; ended != nil {
		return ended.ExitCode != 0
	}
	if ended := c.LastTerminationState.Terminated; ended != nil && ended.ExitCode != 0 && now.Sub(ended.FinishedAt.Time) < recently {
		return true
	}
	if c.State.Waiting != nil {
		return c.LastTerminationState.Terminated != nil || c.RestartCount > 0
	}
	return !c.Ready && c.State.Running != nil && !snapshot.PodDone(p) && p.DeletionTimestamp == nil
}

// runs are the logs that a container has: of its present run where there is one, and of the one before.
func runs(p *corev1.Pod, c *corev1.ContainerStatus) []snapshot.Question {
	q := snapshot.Question{Kind: snapshot.ContainerLog, Namespace: p.Namespace, Name: p.Name, Container: c.Name}
	var out []snapshot.Question
	if c.State.Waiting == nil || c.RestartCount > 0 {
		out = append(out, q)
	}
	if c.RestartCount > 0 || c.LastTerminationState.Terminated != nil {
		q.Previous = true
		out = append(out, q)
	}
	return out
}

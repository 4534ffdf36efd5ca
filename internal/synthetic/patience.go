package synthetic

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/internal/synthetic/stage"
)

const (
	// lostAfter is how long a node may be NotReady, or a pod be bound to a node whose kubelet says nothing
	// of it, until a run waits for it no longer. A kubelet takes up a pod within seconds, and 40 to 50
	// seconds after its last word its node is NotReady
	// (https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/,
	// --node-monitor-grace-period).
	lostAfter = time.Minute
	// settlesWithin is how long a node may be NotReady after it was made: its network plugin is yet to come.
	settlesWithin = 10 * time.Minute
	// lookAgain lies between two looks at what only time changes.
	lookAgain = 5 * time.Second
	// sureFor is how long it is believed that the API server answers, after it has.
	sureFor = 15 * time.Second
)

// patience tells for which nodes and pods a run has waited long enough. It goes by what the run itself has
// seen, so that no clock has to agree with another.
type patience struct {
	env   Environment
	views *stage.Views
	nodes map[string]time.Time
	pods  map[types.UID]time.Time
	// asked is when the API server was last asked whether it is its own silence that is seen, and answered
	// when it last gave all that the views show.
	asked, answered time.Time
}

// newPatience has what views show looked at as time goes by, until ctx ends.
func newPatience(ctx context.Context, env Environment, views *stage.Views) *patience {
	views.Tick(ctx, lookAgain)
	return &patience{env: env, views: views, nodes: map[string]time.Time{}, pods: map[types.UID]time.Time{}}
}

// lostNode tells that a node is NotReady for lostAfter, and old enough to be ready.
func (p *patience) lostNode(n *corev1.Node) bool {
	return over(p, p.nodes, n.Name, notReady(n) != "") && p.env.Clock.Since(n.CreationTimestamp.Time) > settlesWithin
}

// ignoredPod tells that a pod is bound to a node for lostAfter, and its kubelet has not taken it up.
func (p *patience) ignoredPod(pod *corev1.Pod) bool {
	// The kubelet writes when it began with a pod before it does anything else for it
	// (pkg/kubelet/status/status_manager.go, updateStatusInternal).
	silent := pod.Spec.NodeName != "" && pod.Status.StartTime == nil && len(pod.Status.ContainerStatuses) == 0
	return over(p, p.pods, pod.UID, silent)
}

// anyIgnored tells that the kubelet of some pod has not taken it up.
func (p *patience) anyIgnored(ctx context.Context, pods []*corev1.Pod) bool {
	p.verify(ctx)
	ignored := false
	for _, pod := range pods {
		// Of each, so that the time runs for all.
		ignored = p.ignoredPod(pod) || ignored
	}
	return ignored && p.sure(ctx)
}

// over tells that something is seen silent for lostAfter.
func over[K comparable](p *patience, since map[K]time.Time, what K, silent bool) bool {
	if !silent {
		delete(since, what)
		return false
	}
	if _, seen := since[what]; !seen {
		since[what] = p.env.Clock.Now()
	}
	return p.env.Clock.Since(since[what]) >= lostAfter
}

// verify has all wait anew where the API server does not answer: whoever hears nothing from it sees nodes
// and kubelets that are silent, and when it is back they need a moment too. It is to be called before each
// look at them.
func (p *patience) verify(ctx context.Context) {
	if len(p.nodes)+len(p.pods) == 0 || p.env.Clock.Since(p.asked) < sureFor {
		return
	}
	asking, done := context.WithTimeout(ctx, lookAgain)
	defer done()
	if err := p.views.Answered(asking); err != nil {
		clear(p.nodes)
		clear(p.pods)
	}
	p.asked = p.env.Clock.Now()
}

// sure tells that what the views show is of now, before anything is concluded from silence: a watch may have
// broken without a word.
func (p *patience) sure(ctx context.Context) bool {
	if !p.answered.IsZero() && p.env.Clock.Since(p.answered) < sureFor {
		return true
	}
	asking, done := context.WithTimeout(ctx, lookAgain)
	defer done()
	if err := p.views.Refresh(asking); err == nil {
		p.answered = p.env.Clock.Now()
	}
	return false // What it answered is to be looked at first.
}

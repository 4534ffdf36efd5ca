// Package synthetic acts on a cluster as a user would, and says whether that works: it runs pods on
// every node, rolls a Deployment, resolves names, binds volumes. Each scenario cleans up after itself,
// and after one of its kind that died.
//
// A scenario knows nothing of who runs it: a checker pod, or a command.
package synthetic

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scenario is one stock check.
type Scenario struct {
	// Name on command lines and in manifests, such as "daemonset".
	Name string
	// Doc says in a sentence what it does and what its failure means.
	Doc string
	// Images are the last parts of the names of Kuberhealthy's images that do the same, such as
	// "daemonset-check"; a checker that is started under one of them runs this scenario.
	Images []string
	// Options that it takes, as Kuberhealthy's check of the kind takes them: from the environment.
	Options []Option
	// Access is what its ServiceAccount needs in the namespace that it acts in, and ClusterAccess what
	// it needs in the whole cluster. Roles are made from them; there are no wildcards.
	Access, ClusterAccess []rbacv1.PolicyRule
	// Standing tells that it can be run without options, and belongs to the set that verifies a cluster.
	Standing bool
	// Time that it is usually given: the timeout of a run.
	Time time.Duration
	// Run does it, until ctx ends at the latest; what it made it removes within Environment.Grace after
	// that. The error tells that it could not be tried: of options that make no sense, in a sentence each of
	// what to write instead, of rights that are missing (AccessError), or that the API server did not answer
	// where all hangs on it. What is wrong with the cluster is in the result.
	Run func(ctx context.Context, env Environment) (Result, error)
}

// Option is an environment variable that a scenario reads.
type Option struct {
	// Name of the variable.
	Name string
	// Doc says what it means, with unit and range.
	Doc string
	// Default that stands where it is not set; empty where Doc says what happens then.
	Default string
}

// Environment is what a scenario acts in.
type Environment struct {
	// Client for the cluster. It watches, so that waiting costs no polls.
	Client client.WithWatch
	// Getenv gives options; empty for what is not set.
	Getenv func(name string) string
	// Namespace to act in where no option names another, and Pod the name of the pod that the scenario
	// runs in, in that namespace.
	Namespace, Pod string
	// Node that the pod is on; empty where nobody told.
	Node string
	// Image of the checker itself: it can serve as the pods that scenarios make (see cmd/maek-checker,
	// "pause" and "serve"), so that no other image is needed.
	Image string
	// RunID names everything that this run makes, so that runs do not collide and a later one knows what
	// an earlier left. It is a DNS label of at most 16 characters and no secret.
	RunID string
	// Grace is the time for cleaning up after ctx has ended.
	Grace time.Duration
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Result is what a scenario found.
type Result struct {
	// Errors say what does not work, a sentence each, with the node, pod or name that it is about.
	// There are none where all is well.
	Errors []string
	// Nodes are results by node, where the scenario has them.
	Nodes []NodeResult
	// Notes say what is worth knowing though it is no failure: what was skipped, and why.
	Notes []string
}

// OK tells that nothing failed.
func (r Result) OK() bool { return len(r.Errors) == 0 }

// NodeResult is what a scenario found on one node.
type NodeResult struct {
	// Node by name.
	Node string `json:"node"`
	// OK tells that it works there.
	OK bool `json:"ok"`
	// Message says why not; empty where OK.
	Message string `json:"message,omitempty"`
	// Seconds that it took there, where that was measured.
	Seconds float64 `json:"seconds,omitempty"`
}

// Catalog is a set of scenarios; the package's own is All.
type Catalog struct{ scenarios []Scenario }

// Add registers a scenario. It panics where the name is taken: that is a mistake in the program.
func (c *Catalog) Add(s Scenario) struct{} {
	if _, taken := c.Find(s.Name); taken {
		panic("synthetic: two scenarios are called " + s.Name)
	}
	c.scenarios = append(c.scenarios, s)
	return struct{}{}
}

// All returns the scenarios by name.
func (c *Catalog) All() []Scenario {
	return slices.SortedFunc(slices.Values(c.scenarios), func(a, b Scenario) int { return cmp.Compare(a.Name, b.Name) })
}

// Find returns the scenario of a name, or of the name of one of its images.
func (c *Catalog) Find(name string) (Scenario, bool) {
	for _, s := range c.scenarios {
		if s.Name == name || slices.Contains(s.Images, name) {
			return s, true
		}
	}
	return Scenario{}, false
}

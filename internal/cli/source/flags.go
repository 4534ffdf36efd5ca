// Package source is where the commands that look at a cluster get it from: the cluster that kubectl
// would talk to, or a bundle. It holds the flags that say so, turns every way in which they can be
// wrong into one sentence, and runs the rules over what was read.
package source

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// DefaultTimeout is how long a diagnosis may take in all: a minute for the lists, and a quarter of
// that for questions.
const DefaultTimeout = 75 * time.Second

// listShare is the part of the time that reading lists may take; the rest is for questions.
const listShare = 0.8

// agentShare is the part of the time that agents may take, up to agents.DefaultTime.
const agentShare = 0.08

// Connection are kubectl's own flags: which kubeconfig, context and namespace, as whom, how long.
// They come from client-go, where kubectl's have their names and meanings from too; cli-runtime's
// copy of them would bring kustomize along.
type Connection struct {
	// Kubeconfig is the path of the only kubeconfig to read; empty means $KUBECONFIG or
	// ~/.kube/config.
	Kubeconfig string
	// Overrides of what the kubeconfig says.
	Overrides clientcmd.ConfigOverrides
	// AllNamespaces takes back Namespace.
	AllNamespaces bool
}

// commonFlags are the ones that the help lists; the others work all the same.
var commonFlags = map[string]bool{
	clientcmd.FlagContext: true, clientcmd.FlagNamespace: true, clientcmd.FlagTimeout: true, clientcmd.FlagImpersonate: true,
}

// Add adds the flags to a command and all below it.
func (c *Connection) Add(cmd *cobra.Command) {
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	names.ContextOverrideFlags.Namespace.Description = "show only incidents that touch this namespace; the whole cluster is read all the same"
	names.CurrentContext.Description = "the kubeconfig's context to use"
	names.Timeout.Description = "how long one request may take, such as 10s; 0 leaves it to this program"
	names.AuthOverrideFlags.Impersonate.Description = "act as this user"
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	clientcmd.BindOverrideFlags(&c.Overrides, own, names)
	own.VisitAll(func(f *pflag.Flag) {
		f.Hidden = !commonFlags[f.Name]
		cmd.PersistentFlags().AddFlag(f)
	})
	cmd.PersistentFlags().StringVar(&c.Kubeconfig, clientcmd.RecommendedConfigPathFlag, "", "the kubeconfig file to use")
	cmd.PersistentFlags().BoolVarP(&c.AllNamespaces, "all-namespaces", "A", false, "show all incidents (what happens without -n)")
}

// Namespace that was asked for; empty means the whole cluster.
func (c *Connection) Namespace() string {
	if c.AllNamespaces {
		return ""
	}
	return c.Overrides.Context.Namespace
}

// Flags say which cluster or bundle to look at, and how.
type Flags struct {
	// Connection to the cluster.
	Connection *Connection
	// From is the path of a bundle; empty means the cluster.
	From string
	// Inventory is the path of a file that names the nodes which should exist; empty means none.
	Inventory string
	// Earlier is the path of an earlier bundle of the same cluster, whose nodes should still exist; empty
	// means none.
	Earlier string
	// Passive asks nothing beyond lists.
	Passive bool
	// NoAgents asks no agents for the reports of their machines.
	NoAgents bool
	// AllEvidence asks agents for all that they know, not only for what rules read.
	AllEvidence bool
	// Timeout for everything together.
	Timeout time.Duration
}

// Add adds the flags of a command that looks at a cluster.
func (f *Flags) Add(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.From, "from", "", "look at this bundle (folder or archive) instead of a cluster")
	set.StringVar(&f.Inventory, "inventory", "", "a file with the nodes that should exist: one name a line, or what kubectl get nodes -o yaml prints")
	set.StringVar(&f.Earlier, "earlier", "", "an earlier bundle of this cluster, whose nodes should still exist")
	set.BoolVar(&f.Passive, "passive", false, "only list objects; ask no further questions, such as for the last lines of a log")
	set.BoolVar(&f.NoAgents, "no-agents", false, "do not ask the agents on the machines; --passive does not either")
	set.DurationVar(&f.Timeout, "timeout", DefaultTimeout, "how long all of it may take; what was read by then is reported")
}

// Validate refuses flags that make no sense.
func (f *Flags) Validate() error {
	if f.Timeout <= 0 {
		return exit.Misused("--timeout %s leaves no time at all; write a duration above zero, such as --timeout 30s", f.Timeout)
	}
	return nil
}

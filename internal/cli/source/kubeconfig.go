package source

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/maek-dev/maek/internal/cli/exit"
)

// contextsNamed is how many contexts a sentence about an unknown one names.
const contextsNamed = 5

// target is a cluster to read.
type target struct {
	name   string
	config *rest.Config
}

// Config is how to reach the cluster that kubectl would talk to with the same flags.
func (c *Connection) Config(program string) (*rest.Config, error) {
	t, err := c.resolve(program)
	return t.config, err
}

// resolve finds the cluster that kubectl would talk to with the same flags.
func (c *Connection) resolve(program string) (target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &c.Overrides)
	raw, err := loader.RawConfig()
	if err != nil {
		return target{}, unreadable(err)
	}
	server := c.Overrides.ClusterInfo.Server
	if len(raw.Clusters) == 0 && server == "" {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return target{}, exit.Misused("there is no cluster to look at: neither --kubeconfig nor $KUBECONFIG nor ~/.kube/config names one; "+
				"write %[1]s --kubeconfig FILE, or see %[1]s demo", program)
		}
		as := c.Overrides.AuthInfo
		cfg.Impersonate = rest.ImpersonationConfig{UserName: as.Impersonate, UID: as.ImpersonateUID, Groups: as.ImpersonateGroups}
		return target{"in-cluster", cfg}, nil
	}
	context := cmp.Or(c.Overrides.CurrentContext, raw.CurrentContext)
	if _, ok := raw.Contexts[context]; context != "" && !ok {
		return target{}, unknownContext(context, raw)
	}
	if err := c.complete(context, raw); err != nil {
		return target{}, err
	}
	if _, err := clientcmd.ParseTimeout(c.Overrides.Timeout); err != nil {
		return target{}, exit.Misused("--request-timeout %q is no duration; write one such as 10s or 2m", c.Overrides.Timeout)
	}
	cfg, err := loader.ClientConfig()
	if err != nil {
		return target{}, incomplete(err, context)
	}
	if context == "" || server != "" {
		context = host(cfg)
	}
	return target{context, cfg}, nil
}

// complete refuses flags and a kubeconfig that together lead to no server.
func (c *Connection) complete(context string, raw clientcmdapi.Config) error {
	cluster := c.Overrides.Context.Cluster
	if c.Overrides.ClusterInfo.Server != "" {
		return nil
	}
	if context == "" && cluster == "" {
		return exit.Misused("the kubeconfig has no current context; write --context NAME with one of: %s", names(raw))
	}
	if cluster == "" {
		cluster = raw.Contexts[context].Cluster
	}
	if _, ok := raw.Clusters[cluster]; !ok {
		return exit.Misused("context %q of the kubeconfig leads to cluster %q, which it does not describe; mend it, or write --context with another", context, cluster)
	}
	return nil
}

func host(cfg *rest.Config) string {
	if u, err := url.Parse(cfg.Host); err == nil && u.Host != "" {
		return u.Host
	}
	return cfg.Host
}

// unreadable says what is wrong with a kubeconfig file.
func unreadable(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrNotExist) {
		return exit.Misused("the kubeconfig %s does not exist; write --kubeconfig with the path of one that does", path.Path)
	}
	return exit.Misused("the kubeconfig cannot be used: %w; mend it, or write --kubeconfig with the path of another", oneLine(err))
}

func unknownContext(context string, raw clientcmdapi.Config) error {
	if len(raw.Contexts) == 0 {
		return exit.Misused("there is no context %q: the kubeconfig has none at all; write --kubeconfig FILE with one that has it", context)
	}
	return exit.Misused("there is no context %q in the kubeconfig; write one of: %s", context, names(raw))
}

// incomplete says what a context lacks.
func incomplete(err error, context string) error {
	if context == "" {
		return exit.Misused("the cluster's address and credentials do not fit together: %w; write --context NAME", oneLine(err))
	}
	return exit.Misused("context %q of the kubeconfig cannot be used: %w; mend it, or write --context with another", context, oneLine(err))
}

func names(raw clientcmdapi.Config) string {
	all := slices.Sorted(maps.Keys(raw.Contexts))
	if len(all) > contextsNamed {
		return fmt.Sprintf("%s (and %d more)", strings.Join(all[:contextsNamed], ", "), len(all)-contextsNamed)
	}
	return strings.Join(all, ", ")
}

// oneLine makes a library's message fit into a sentence.
func oneLine(err error) error {
	return errors.New(strings.TrimRight(strings.Join(strings.Fields(err.Error()), " "), "."))
}

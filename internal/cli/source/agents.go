package source

import (
	"cmp"
	"context"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// askAgents adds to a snapshot what agents know of their machines.
func (f *Flags) askAgents(ctx context.Context, inv *invocation.Invocation, cfg *rest.Config, s *snapshot.Snapshot, rules []rule.Rule) (*snapshot.Snapshot, agents.Reports) {
	keys := rule.Keys(rules)
	if f.AllEvidence {
		keys = nil
	} else if len(keys) == 0 {
		return s, agents.Reports{}
	}
	if f.NoAgents || f.Passive || ctx.Err() != nil {
		return s, agents.Reports{}
	}
	o := agents.Options{Keys: keys, Time: min(agents.DefaultTime, time.Duration(float64(f.Timeout)*agentShare))}
	if folder := cacheFolder(inv); folder != "" {
		o.Memory = agents.MemoryIn(folder, cfg)
	}
	told := agents.Collect(ctx, cfg, s, o)
	return s.WithMachines(told.Reports, told.Unreported), told
}

// cacheFolder is where kubectl keeps what it may lose
// (k8s.io/cli-runtime/pkg/genericclioptions, getDefaultCacheDir); empty where the user has no home.
func cacheFolder(inv *invocation.Invocation) string {
	if folder := inv.Getenv("KUBECACHEDIR"); folder != "" {
		return folder
	}
	home := cmp.Or(inv.Getenv("HOME"), inv.Getenv("USERPROFILE"))
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".kube", "cache")
}

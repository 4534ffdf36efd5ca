package operator

import (
	"errors"
	"log/slog"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
)

// DefaultConfigPath is where Kuberhealthy 2 has its configuration (master: cmd/kuberhealthy/config.go).
const DefaultConfigPath = "/etc/config/kuberhealthy.yaml"

// What clusters and installations have that say nothing else.
const (
	DefaultClusterDomain  = "cluster.local"
	DefaultServiceAccount = "maek-operator"
)

// Options of an Operator.
type Options struct {
	// Config of the API server, with the operator's credentials. It is needed.
	Config *rest.Config
	// Namespace of the operator, and Pod that it runs in. Both are needed.
	Namespace, Pod string
	// Version of this program.
	Version string

	// ConfigPath of Kuberhealthy 2's configuration, which is read again when it changes; a file that is
	// not there is an empty one. Getenv gives the environment variables of both versions. It is needed.
	ConfigPath string
	Getenv     func(string) string
	// Listen is the address of the status page; empty stands for the configuration's.
	Listen string
	// Adopt runs the checks although a Kuberhealthy operator is alive.
	Adopt bool
	// CheckerImage plays the scenarios of Checks; where it is empty, Checks that are synthetic are refused.
	CheckerImage string
	// ClusterDomain is the DNS domain of the cluster; empty stands for DefaultClusterDomain.
	ClusterDomain string
	// ServiceAccount that the operator runs as, in its namespace: what it lacks is to be granted to it. Empty
	// stands for DefaultServiceAccount.
	ServiceAccount string
	// LeaseDuration of a replica's Lease; zero stands for shard.DefaultDuration.
	LeaseDuration time.Duration

	// Rules to diagnose by; without any, nothing is diagnosed.
	Rules []rule.Rule
	// Cluster is the name under which people know the cluster, and Language that of incidents; both may be
	// empty.
	Cluster  string
	Language finding.Language

	Clock clock.WithTicker
	Log   *slog.Logger
	// Level of the log, which the configuration changes while the operator runs; nil leaves it alone.
	Level *slog.LevelVar
}

// Validate tells what is missing, in one sentence of what to write.
func (o Options) Validate() error {
	switch {
	case o.Config == nil:
		return errors.New("there is no API server to ask: run in a pod, or give --kubeconfig")
	case o.Namespace == "":
		return errors.New("--namespace is missing, and POD_NAMESPACE is not set")
	case o.Pod == "":
		return errors.New("--pod-name is missing, and POD_NAME is not set")
	case o.Getenv == nil, o.Clock == nil, o.Log == nil:
		return errors.New("the environment, a clock and a log are needed")
	}
	return nil
}

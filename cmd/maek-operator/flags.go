package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/operator"
)

// flags are what the command line says.
type flags struct {
	options                                  operator.Options
	kubeconfig                               string
	debug, version, incidents, compatibility bool
}

// parse reads the command line. Kuberhealthy 2's own flags are among them, so that its Deployment's
// arguments can stay (master: cmd/kuberhealthy/main.go).
func parse(args []string, getenv func(string) string) (flags, error) {
	f := flags{}
	o := &f.options
	set := pflag.NewFlagSet("maek-operator", pflag.ContinueOnError)
	set.StringVarP(&o.ConfigPath, "config", "c", operator.DefaultConfigPath, "Kuberhealthy's configuration file, read again when it changes")
	set.BoolVarP(&f.debug, "debug", "d", false, "log everything")
	set.Bool("forceMaster", false, "of no effect: replicas share the checks, and none needs to be forced")
	set.StringVar(&o.Listen, "listen-address", "", "address of the status page, such as :8080; without it the configuration's, or KH_LISTEN_ADDRESS")
	set.BoolVar(&o.Adopt, "adopt", getenv("MAEK_ADOPT") == "true", "run the checks although a Kuberhealthy operator is alive (also MAEK_ADOPT=true)")
	set.BoolVar(&f.compatibility, "compatibility", getenv("MAEK_COMPATIBILITY") != "false", "serve results and metrics to anybody, and take reports by a pod's address, as Kuberhealthy does (also MAEK_COMPATIBILITY=false)")
	set.BoolVar(&f.incidents, "incidents", true, "diagnose the cluster as it changes, and write Incidents")
	set.StringVar((*string)(&o.Language), "language", string(finding.English), "language of Incidents: en or ko")
	set.StringVar(&o.Cluster, "cluster-name", "", "name under which people know the cluster")
	set.StringVar(&o.Namespace, "namespace", getenv("POD_NAMESPACE"), "namespace that the operator runs in")
	set.StringVar(&o.Pod, "pod-name", getenv("POD_NAME"), "name of the pod that it runs in")
	set.StringVar(&o.CheckerImage, "checker-image", getenv("MAEK_CHECKER_IMAGE"), "image that plays the scenarios of Checks; without it, Checks that are synthetic are refused (also MAEK_CHECKER_IMAGE)")
	set.StringVar(&o.ClusterDomain, "cluster-domain", operator.DefaultClusterDomain, "DNS domain of the cluster")
	set.StringVar(&o.ServiceAccount, "service-account", cmp.Or(getenv("POD_SERVICE_ACCOUNT"), operator.DefaultServiceAccount), "ServiceAccount that the operator runs as")
	set.StringVar(&f.kubeconfig, "kubeconfig", getenv("KUBECONFIG"), "how to reach the API server; without it, as a pod does")
	set.BoolVar(&f.version, "version", false, "print the version")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%q is no flag", set.Arg(0))
	}
	o.Language = cmp.Or(o.Language, finding.English)
	if !slices.Contains([]finding.Language{finding.English, finding.Korean}, o.Language) {
		return f, errors.New("--language is en or ko")
	}
	return f, nil
}

func misused(err error) int {
	fmt.Fprintf(os.Stderr, "maek-operator: %v\n", err)
	return 64
}

func config(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

package operator

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/collect/pods"
	"github.com/maek-dev/maek/internal/operator/check"
	"github.com/maek-dev/maek/internal/operator/check/due"
	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/inservice"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/operator/check/podrun"
	"github.com/maek-dev/maek/internal/operator/check/target"
	"github.com/maek-dev/maek/internal/operator/check/vantage"
	"github.com/maek-dev/maek/internal/operator/checkerpod"
	"github.com/maek-dev/maek/internal/operator/served"
)

// runCheckObjects makes what runs Checks.
func (o *Operator) runCheckObjects() error {
	log := o.o.Log.With("part", "checks")
	runner, err := podrun.New(podrun.Options{
		Client: o.client, Cache: o.cache, Image: o.o.CheckerImage, Logs: checkerpod.PodLogs{Pods: o.apis.core},
		Witness: checkerpod.APIWitness{Core: o.apis.core}, Clock: o.o.Clock, Log: log,
	})
	if err != nil {
		return err
	}
	here := vantage.NewHere(vantage.HereOptions{Now: o.o.Clock.Now, Stalled: func() time.Duration { return o.checks.Stalled() }})
	o.nodes = vantage.NewNodes(vantage.NodesOptions{Reader: o.targets, Token: o.agentToken(), Now: o.o.Clock.Now})
	o.checks, err = check.New(check.Options{
		Checks: o.apis.dynamic.Resource(v1alpha1.GroupVersion.WithResource(served.Check.Resource)), Namespace: o.Settings().Namespace,
		Served: func() bool { return o.served.Served(served.Check.GroupVersionKind) },
		Owns:   o.ring.Owns, Held: o.ring.Held, Replicas: o.replicas, Prepare: o.targetsFilled.Load,
		Resolve: o.resolver().Resolve, Here: here.Each, Nodes: o.nodes.Each, Confirm: o.nodes.Confirm, Judge: expect.Judge, Pods: runner,
		Consequences: consequences{o}, Records: o.records, Events: o.recorder, Self: o.o.Pod, Clock: o.o.Clock, Log: log,
	})
	if err != nil {
		return fmt.Errorf("preparing to run Checks: %w", err)
	}
	o.metrics.MustRegister(o.checks.Collector())
	o.inService, err = inservice.New(inservice.Options{
		Reader: o.checks.Reader(filled{o.targets, &o.targetsFilled}), Informers: o.targets, Client: o.client,
		ServiceAccount: o.serviceAccount(), Self: o.o.Pod, Owns: o.ring.Owns, Settled: o.settled, Resting: resting, Within: within,
		Confirm: o.checks.Confirm, Tell: o.checks.AddConsequences,
		Events: o.recorder, Metrics: o.metrics, Clock: o.o.Clock, Log: o.o.Log.With("part", "in service"),
	})
	return err
}

// consequences tells of runs to what is made after the controller, and before it runs.
type consequences struct{ o *Operator }

// Observe implements check.Consequences.
func (c consequences) Observe(check *v1alpha1.Check, at time.Time, results []plan.Result) {
	c.o.inService.Observe(check, at, results)
}

// Forget implements check.Consequences.
func (c consequences) Forget(uid types.UID) { c.o.inService.Forget(uid) }

// resolver makes what finds whom Checks ask.
func (o *Operator) resolver() *target.Resolver {
	config := rest.CopyConfig(o.o.Config)
	config.UserAgent = "maek-operator/" + o.o.Version
	config.QPS = -1
	return target.New(target.Options{
		Reader: o.targets,
		Secret: func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
			return o.apis.core.Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		},
		ConfigMap: func(ctx context.Context, name types.NamespacedName) (*corev1.ConfigMap, error) {
			return o.apis.core.ConfigMaps(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		},
		Lookup: net.DefaultResolver.LookupNetIP, Dial: new(net.Dialer).DialContext, Run: pods.Commands{Config: config},
		ClusterDomain:  cmp.Or(o.o.ClusterDomain, DefaultClusterDomain),
		ServiceAccount: o.serviceAccount(), Version: o.o.Version, Now: o.o.Clock.Now,
	})
}

// serviceAccount that the operator runs as: what it lacks is to be granted to it.
func (o *Operator) serviceAccount() types.NamespacedName {
	return types.NamespacedName{Namespace: o.o.Namespace, Name: cmp.Or(o.o.ServiceAccount, DefaultServiceAccount)}
}

// agentToken is what agents are shown: outside of a pod, the credentials for the API server.
func (o *Operator) agentToken() func() (string, error) {
	if _, err := os.Stat(agents.TokenFile); err == nil {
		return agents.TokenFrom(agents.TokenFile)
	}
	return func() (string, error) { return o.o.Config.BearerToken, nil }
}

// keepInService does what follows from Checks for the pods that they ask. It begins when the pods are known and
// waits for nothing else: those that name the readiness gate wait for it, whether or not there are Checks.
func (o *Operator) keepInService(ctx context.Context) error {
	defer o.nodes.Close()
	return o.inService.Run(ctx)
}

// replicas is how many of them share the checks, as this one sees it.
func (o *Operator) replicas() int { return len(o.ring.Members()) }

// within tells that a time lies in a window of a policy.
func within(windows []v1alpha1.MaintenanceWindow, at time.Time) (bool, error) {
	return due.Within("spec.takeOutOfService.windows", windows, at)
}

// resting tells that a check is not to be run at a time.
func resting(c *v1alpha1.Check, at time.Time) bool {
	if c.Spec.Suspend {
		return true
	}
	times, err := due.New(&c.Spec, c.UID, at)
	if err != nil {
		return true
	}
	_, _, is := times.Resting(at)
	return is
}

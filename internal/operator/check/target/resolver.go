package target

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// maxTargets is how many targets one run of a check asks. More are no probe but a load, and their names would
// fit no status.
const maxTargets = 500

// Options of a Resolver. All are needed but Run.
type Options struct {
	// Reader is the cache. It must hold what Kinds names.
	Reader client.Reader
	// Secret and ConfigMap read one object from the API server itself. They are asked once a minute for
	// each that checks name; what they return is not changed.
	Secret    func(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error)
	ConfigMap func(ctx context.Context, name types.NamespacedName) (*corev1.ConfigMap, error)
	// Lookup resolves a name that ends with a dot, as net.Resolver.LookupNetIP does.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Dial connects to an address that is no name, as net.Dialer.DialContext does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Run runs commands in containers, with what rights the operator has. Nil where it cannot.
	Run probe.Runner
	// ClusterDomain is the DNS domain of the cluster, such as cluster.local.
	ClusterDomain string
	// ServiceAccount that the operator runs as: what it lacks is to be granted to it.
	ServiceAccount types.NamespacedName
	// Version of Maek, which servers are told.
	Version string
	// Now is the clock.
	Now func() time.Time
}

// Resolver turns checks into questions. It is safe for concurrent use.
type Resolver struct {
	o      Options
	around aroundMemo
	read   memo
}

// New makes a Resolver. It asks nobody anything.
func New(o Options) *Resolver {
	return &Resolver{o: o, read: memo{now: o.Now, kept: map[string]remembered{}}}
}

// Resolve says what a run of a check is to ask, in an order that is the same for the same objects. The run's
// number chooses where one of several is to be asked.
//
// The error is a *plan.Refusal where the check cannot be run as it is written or allowed, a *plan.Empty
// where there is nobody to ask, and any other where that cannot be told just now.
func (r *Resolver) Resolve(ctx context.Context, check *v1alpha1.Check, run uint64) ([]plan.Question, error) {
	around, err := r.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	allowed, err := r.allowances(ctx, around, check.Namespace)
	if err != nil {
		return nil, err
	}
	q := query{r: r, check: check, spec: &check.Spec, run: run, around: around, allowed: allowed}
	places, err := q.places(ctx)
	if err != nil {
		return nil, err
	}
	if len(places) > maxTargets {
		return nil, plan.Refuse(v1alpha1.ReasonTooManyTargets, "%d targets fit, and a check asks %d at most; narrow the selector, or write mode: Any", len(places), maxTargets)
	}
	have, err := r.materials(ctx, check)
	if err != nil {
		return nil, err
	}
	questions := make([]plan.Question, 0, len(places))
	for _, p := range places {
		question, err := q.question(p, have)
		if err != nil {
			return nil, err
		}
		questions = append(questions, question)
	}
	return questions, nil
}

// query is one call of Resolve.
type query struct {
	r       *Resolver
	check   *v1alpha1.Check
	spec    *v1alpha1.CheckSpec
	run     uint64
	around  *surroundings
	allowed *allowance
}

// place is where a question is asked.
type place struct {
	// name of the target for people.
	name string
	pod  plan.Pod
	// host and port that go into URLs and addresses. The host is a name or an address.
	host string
	port uint16
	// serverName is the name that a certificate must have where the spec names none; empty for the host.
	serverName string
	// container of the pod, for commands.
	container string
	// guard opens connections; nil for commands.
	guard *guard
	// gap is why this place cannot be asked; nil where it can.
	gap *gap
}

// gap is why one place of several cannot be asked.
type gap struct {
	// failure tells that it is the place that is wrong, and not that nobody knows.
	failure         bool
	reason, message string
}

func (g *gap) err() error {
	return &plan.Empty{Failure: g.failure, Reason: g.reason, Message: g.message}
}

// places finds where the questions are asked.
func (q *query) places(ctx context.Context) ([]place, error) {
	spec := q.spec
	switch {
	case spec.Synthetic != nil || spec.PodTemplate != nil:
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "synthetic and podTemplate run pods, and ask no target")
	case spec.DNS != nil:
		return q.nameServer(ctx)
	case spec.Target == nil && spec.HTTPGet != nil:
		return q.hosts(ctx, spec.HTTPGet.Host, spec.HTTPGet.Port)
	case spec.Target == nil && spec.TCPSocket != nil:
		return q.hosts(ctx, spec.TCPSocket.Host, spec.TCPSocket.Port)
	case spec.Target == nil:
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "the check has no target")
	}
	port := q.port()
	switch target := spec.Target; {
	case target.URL != "":
		return q.url(ctx, target.URL)
	case target.Host != "":
		return q.hosts(ctx, target.Host, port)
	case target.Service != nil:
		return q.service(ctx, target.Service.Name, target.Service.Mode == v1alpha1.TargetEach, port)
	case target.Pods != nil:
		return q.pods(ctx, target.Pods, port)
	case target.Ingress != nil:
		return q.ingress(ctx, target.Ingress, port)
	case target.Nodes != nil:
		return q.nodes(ctx, target.Nodes, port)
	default:
		return nil, plan.Refuse(v1alpha1.ReasonTargetInvalid, "the check's target is empty")
	}
}

// oneOf chooses one of several for this run: all of them have their turn.
func oneOf[T any](all []T, run uint64) T { return all[run%uint64(len(all))] }

// reading names what could not be read.
func reading(kind, name string, err error) error {
	return fmt.Errorf("reading %s %s: %w", kind, name, err)
}

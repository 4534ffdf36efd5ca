package inservice

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/operator/check/plan"
)

// Informers tell of pods as they change; a controller-runtime cache does.
type Informers interface {
	GetInformer(ctx context.Context, obj client.Object, opts ...cache.InformerGetOption) (cache.Informer, error)
}

// Within tells whether a time lies in one of a policy's windows. The error says what in them cannot be read.
type Within func(windows []v1alpha1.MaintenanceWindow, at time.Time) (bool, error)

// Options of a Keeper. All are needed but Resting and Within.
type Options struct {
	// Reader is a cache of Pods, Namespaces, CheckPolicies and Checks. It may leave out of a pod all but its
	// metadata, spec.nodeName, spec.readinessGates, status.phase, its addresses and the conditions Ready and
	// maek.dev/in-service; of the metadata it keeps the labels, the controller, and when the pod was created and
	// deleted. Of a namespace it keeps the labels and PauseAnnotation.
	Reader client.Reader
	// Informers of that cache.
	Informers Informers
	// Client asks the API server itself. It reads pods, Services, EndpointSlices, Nodes and the Leases of those
	// who maintain nodes just before a pod is taken out, reads and writes the Lease of the ledger, and patches
	// pods/status.
	Client client.Client
	// ServiceAccount that the operator runs as: its namespace has the ledger, and people are told to bind roles to
	// it.
	ServiceAccount types.NamespacedName
	// Self is this replica's name.
	Self string
	// Owns tells whether this replica owns what has the UID.
	Owns func(types.UID) bool
	// Settled is since when this replica has looked on: since it started, the replicas last changed, or the
	// API server was last out of reach.
	Settled func() time.Time
	// Confirm asks a check's question once more of the pods, from as many places as it can, two at least:
	// agents of different nodes, or the operator and one. Its results are as Observe gets them.
	Confirm func(ctx context.Context, check *v1alpha1.Check, pods []plan.Pod) ([]plan.Result, error)
	// Resting tells that a check is not to be run at a time: suspended, or in maintenance. Nil knows of the
	// former alone.
	Resting func(check *v1alpha1.Check, at time.Time) bool
	// Within reads the hours of policies. Nil takes any time to be outside of them, where there are some.
	Within Within
	// Tell takes what was done to the check's status, oldest first. It must not block. A replica that gives
	// back another's pod tells of it too; who does not own the check may drop that, the Events have it.
	Tell func(check types.UID, done []v1alpha1.Consequence)
	// Events about pods and checks.
	Events events.EventRecorder
	// Metrics get maek_in_service_actions_total and maek_in_service_pods_out.
	Metrics prometheus.Registerer
	Clock   clock.WithTicker
	Log     *slog.Logger
}

func (o Options) validate() error {
	switch {
	case o.Reader == nil, o.Informers == nil, o.Client == nil:
		return errors.New("preparing to take pods out of service: a reader, its informers and a client are needed")
	case o.ServiceAccount.Namespace == "", o.ServiceAccount.Name == "", o.Self == "":
		return errors.New("preparing to take pods out of service: the operator's namespace and ServiceAccount and this replica's name are needed")
	case o.Owns == nil, o.Settled == nil, o.Confirm == nil, o.Tell == nil:
		return errors.New("preparing to take pods out of service: Owns, Settled, Confirm and Tell are needed")
	case o.Events == nil, o.Metrics == nil, o.Clock == nil, o.Log == nil:
		return errors.New("preparing to take pods out of service: events, metrics, a clock and a log are needed")
	}
	return nil
}

package live

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"sync/atomic"

	"github.com/go-logr/logr"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/maek-dev/maek/internal/snapshot"
)

// protobuf with JSON to fall back on, as client-go writes it.
const accept = apiruntime.ContentTypeProtobuf + "," + apiruntime.ContentTypeJSON

// retries of a request that the server asks to send again later (429, or 5xx with Retry-After), or
// whose connection was reset. More would hide from the report that the server is short of breath.
const retries = 2

// Client reads one cluster. It is made by Collect, answers the questions of later rounds, and is
// safe for concurrent use.
type Client struct {
	options Options
	config  *rest.Config
	server  *url.URL
	http    *http.Client
	rest    *rest.RESTClient
	meter   *meter
	clock   *serverClock

	// quorumLost is set once a quorum read failed, and either the API server had said as much or the
	// same read from the watch cache succeeded: the kinds after it are spared the wait.
	quorumLost atomic.Bool

	// quorumDoubtful is set before any list where the API server itself says that etcd fails it.
	quorumDoubtful bool

	// customTotal counts the custom resources that were read, of all kinds.
	customTotal atomic.Int64

	// snapshot is what Collect made or Observe was given; questions about nodes are answered through its
	// pods.
	snapshot atomic.Pointer[snapshot.Snapshot]
}

// Stats are what a Client cost the API server.
type Stats struct {
	// Requests that were sent, retries included.
	Requests int64
	// Bytes of the answers' bodies, decompressed.
	Bytes int64
}

// Stats so far.
func (c *Client) Stats() Stats {
	return Stats{Requests: c.meter.requests.Load(), Bytes: c.meter.bytes.Load()}
}

func newClient(cfg *rest.Config, o Options) (*Client, error) {
	c := &Client{options: o, clock: &serverClock{now: o.Now}, config: rest.CopyConfig(cfg)}
	c.meter = &meter{clock: c.clock}
	// The API server's priority and fairness is the brake: a client-side limit would only make a
	// sick cluster look slower than it is.
	c.config.QPS = -1
	c.config.Timeout = 0
	c.config.UserAgent = fmt.Sprintf("%s/%s (%s/%s)", o.Program, o.Version, runtime.GOOS, runtime.GOARCH)
	c.config.WarningHandlerWithContext = rest.NoWarnings{}
	c.config.WarningHandler = nil
	c.config.AcceptContentTypes = accept
	c.config.ContentType = apiruntime.ContentTypeProtobuf
	c.config.NegotiatedSerializer = serializer.NewCodecFactory(snapshot.Scheme).WithoutConversion()
	c.config.Wrap(c.meter.wrap)

	var err error
	if c.server, _, err = rest.DefaultServerUrlFor(c.config); err != nil {
		return nil, fmt.Errorf("reading the server's address: %w", err)
	}
	if c.http, err = rest.HTTPClientFor(c.config); err != nil {
		return nil, fmt.Errorf("preparing to read the cluster: %w", err)
	}
	if c.rest, err = rest.UnversionedRESTClientForConfigAndClient(c.config, c.http); err != nil {
		return nil, fmt.Errorf("preparing to read the cluster: %w", err)
	}
	return c, nil
}

// quiet keeps client-go from writing its own log lines between ours: every error is returned and
// finds its place in the snapshot.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

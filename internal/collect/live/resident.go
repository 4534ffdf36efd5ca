package live

import (
	"context"
	"errors"
	"net/http"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/snapshot"
)

// New makes a client that has read nothing: for a program that stays, fills its snapshots by watching, and
// wants the rest from here. It answers no questions before Observe.
func New(cfg *rest.Config, o Options) (*Client, error) {
	if o.Now == nil {
		return nil, errors.New("collecting: no clock was given")
	}
	return newClient(cfg, o.withDefaults())
}

// Config with which this client speaks, and over which it counts and learns the server's clock, for other
// clients of the same server.
func (c *Client) Config() *rest.Config { return rest.CopyConfig(c.config) }

// HTTP is the client below, for Config.
func (c *Client) HTTP() *http.Client { return c.http }

// ServerTime turns a time of this machine into the API server's. Before any answer they are the same.
func (c *Client) ServerTime(local time.Time) time.Time { return c.clock.at(local) }

// Observe makes s the snapshot through which questions are answered.
func (c *Client) Observe(s *snapshot.Snapshot) { c.snapshot.Store(s) }

// Meet looks at the API server itself, as Collect does before it lists. Where something is wrong with it, it
// looks into the others that the cluster names, of which slices are the EndpointSlices that are known.
func (c *Client) Meet(ctx context.Context, slices []*discoveryv1.EndpointSlice) snapshot.API {
	ctx = quiet(ctx)
	api := c.meet(ctx)
	c.quorumLost.Store(etcdFails(api.Checks))
	known := reading{}
	for _, s := range slices {
		known.objects = append(known.objects, s)
	}
	c.lookIntoEndpoints(ctx, &api, []reading{known})
	api.CertificateNotAfter = c.meter.certificateNotAfter(api.CertificateNotAfter)
	return api
}

// Listable tells whether lists can be expected of an API server that was met: one that is only short of
// breath may still give some.
func Listable(api snapshot.API) bool { return listable(api.Failure) }

// FromCache tells whether what an API server gives comes from its watch cache and may be old, because it
// says itself that etcd fails it.
func FromCache(api snapshot.API) bool { return etcdFails(api.Checks) }

// Custom are the objects of all kinds that definitions define, as far as they could be read: in bounds, and
// each reduced to what a snapshot holds of it.
func (c *Client) Custom(ctx context.Context, definitions []*apiextensionsv1.CustomResourceDefinition) (objects []*snapshot.CustomResource, coverage map[snapshot.Kind]snapshot.Coverage) {
	known := reading{}
	for _, d := range definitions {
		known.objects = append(known.objects, d)
	}
	c.customTotal.Store(0)
	coverage = map[snapshot.Kind]snapshot.Coverage{}
	for _, r := range c.readCustom(quiet(ctx), []reading{known}) {
		r.coverage.ReadAt = c.clock.at(r.coverage.ReadAt)
		coverage[r.kind] = r.coverage
		objects = append(objects, r.objects...)
	}
	return objects, coverage
}

// Outcome says what an error of reading a kind means for it.
func (c *Client) Outcome(ctx context.Context, k snapshot.Kind, err error) (snapshot.State, string) {
	return c.outcome(ctx, k, err)
}

package live

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// livez asks every address that takes connections and speaks TLS, trusted or not, whether the server
// behind it lives (https://kubernetes.io/docs/reference/using-api/health-checks/). No credentials go
// over these connections, for what answers may be anybody.
func (c *Client) livez(ctx context.Context, addresses []snapshot.Address) {
	ctx, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	eachOpen(addresses, func(a *snapshot.Address) {
		if a.Failure != nil && a.CertificateNotAfter.IsZero() {
			return
		}
		status, err := c.askLivez(ctx, a.Address)
		if err != nil && a.Failure == nil {
			a.Failure = &snapshot.APIFailure{Layer: snapshot.LayerRequest, Reason: dialReason(err), Message: words(err)}
		}
		a.LiveStatus = status
	})
}

func (c *Client) askLivez(ctx context.Context, address string) (int, error) {
	stranger := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, address) },
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: c.config.ServerName,
			InsecureSkipVerify: true, //nolint:gosec // nothing is sent that would need trust, and nothing is believed but that something answers
		},
	}
	defer stranger.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.Scheme+"://"+hostPort(c.server)+"/livez", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", c.config.UserAgent)
	resp, err := stranger.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	// The transport hands out what a server says while the connection is being closed on it.
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// lookIntoEndpoints looks into the API servers that the cluster names, where something is wrong with
// the one that answers.
func (c *Client) lookIntoEndpoints(ctx context.Context, api *snapshot.API, readings []reading) {
	wrong := api.Failure != nil || slices.ContainsFunc(api.Checks, func(h snapshot.HealthCheck) bool { return !h.OK })
	if !wrong || !api.Asked || c.proxy() != "" {
		return
	}
	var addresses []snapshot.Address
	for _, address := range endpointsIn(readings) {
		known := slices.ContainsFunc(api.Addresses, func(a snapshot.Address) bool { return a.Address == address })
		if !known && len(addresses) < maxAddresses {
			addresses = append(addresses, snapshot.Address{Address: address})
		}
	}
	if len(addresses) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(ctx, c.stageTimeout())
	defer cancel()
	eachOpen(addresses, func(a *snapshot.Address) {
		conn, err := c.dial(ctx, a.Address)
		if err != nil {
			a.Error = dialWords(err)
			return
		}
		_ = conn.Close()
		if c.server.Scheme == "https" {
			host, _, _ := net.SplitHostPort(a.Address)
			c.secure(ctx, a, host)
		}
	})
	c.livez(ctx, addresses)
	api.Endpoints = addresses
}

// endpointsIn are the addresses of API servers among the EndpointSlices that were read.
func endpointsIn(readings []reading) []string {
	var out []string
	for _, r := range readings {
		for _, o := range r.objects {
			slice, ok := o.(*discoveryv1.EndpointSlice)
			if ok && slice.Namespace == metav1.NamespaceDefault && slice.Labels[discoveryv1.LabelServiceName] == apiService {
				out = append(out, sliceAddresses(slice)...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// eachOpen calls f for every address that is not known to be closed, all at once.
func eachOpen(addresses []snapshot.Address, f func(a *snapshot.Address)) {
	var wg sync.WaitGroup
	for i := range addresses {
		if addresses[i].Error == "" {
			wg.Go(func() { f(&addresses[i]) })
		}
	}
	wg.Wait()
}

package live

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// apiService is the Service, and the EndpointSlice, behind which each API server enters itself
// (k8s.io/kubernetes/pkg/controlplane/reconcilers, endpointsadapter.go).
const apiService = "kubernetes"

// dialAnswer opens a TCP connection to an API server and agrees on TLS with it, and sends nothing. The
// certificate is not checked, only read. Addresses that are not known as this cluster's are not dialed:
// what a rule asks comes out of objects, which anybody may have written.
func (c *Client) dialAnswer(ctx context.Context, address string) snapshot.Answer {
	if !slices.Contains(c.apiAddresses(ctx), address) {
		return snapshot.Answer{Outcome: snapshot.Denied, Error: address + " is not known as an address of this cluster's API server"}
	}
	if proxy := c.proxy(); proxy != "" {
		return snapshot.Answer{Outcome: snapshot.Errored, Error: "the cluster is reached through the proxy " + proxy}
	}
	conn, err := c.dial(ctx, address)
	if err != nil {
		return dialError(err)
	}
	defer func() { _ = conn.Close() }()
	host, _, _ := net.SplitHostPort(address)
	secure := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host,
		InsecureSkipVerify: true, //nolint:gosec // the certificate is read, and nothing is sent
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		return dialError(err)
	}
	a := snapshot.Answer{Outcome: snapshot.Answered}
	if certs := secure.ConnectionState().PeerCertificates; len(certs) > 0 {
		a.Text = certs[0].NotAfter.UTC().Format(time.RFC3339)
	}
	return a
}

func dialError(err error) snapshot.Answer {
	a := snapshot.Answer{Outcome: snapshot.Errored, Error: dialWords(err)}
	if reason := dialReason(err); reason == snapshot.ConnectionRefused {
		a.Outcome = snapshot.Refused
	} else if reason == snapshot.NoAnswer {
		a.Outcome = snapshot.TimedOut
	}
	return a
}

// apiAddresses are the addresses of the API server that the kubeconfig and the cluster itself name.
func (c *Client) apiAddresses(ctx context.Context) []string {
	out := []string{hostPort(c.server)}
	if ips, err := net.DefaultResolver.LookupHost(ctx, c.server.Hostname()); err == nil {
		for _, ip := range ips {
			out = append(out, net.JoinHostPort(ip, port(c.server)))
		}
	}
	return append(out, c.endpoints(ctx)...)
}

// endpoints are the addresses of API servers in the EndpointSlice that they write.
func (c *Client) endpoints(ctx context.Context) []string {
	slice, ok := snapshot.Get[*discoveryv1.EndpointSlice](c.snapshot.Load(), metav1.NamespaceDefault, apiService)
	if !ok {
		slice = &discoveryv1.EndpointSlice{}
		err := c.rest.Get().AbsPath("/apis/discovery.k8s.io/v1/namespaces", metav1.NamespaceDefault, "endpointslices", apiService).
			MaxRetries(0).Do(ctx).Into(slice)
		if err != nil {
			return nil
		}
	}
	return sliceAddresses(slice)
}

func sliceAddresses(slice *discoveryv1.EndpointSlice) []string {
	var out []string
	for _, e := range slice.Endpoints {
		for _, ip := range e.Addresses {
			for _, p := range slice.Ports {
				if p.Port != nil {
					out = append(out, net.JoinHostPort(ip, strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	return out
}

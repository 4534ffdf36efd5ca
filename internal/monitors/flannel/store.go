package flannel

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/maek-dev/maek/internal/monitor"
)

// access is how flanneld reaches its store.
type access struct {
	endpoints []string
	prefix    string
	tls       *tls.Config
	username  string
	password  string
	// own is the machine's own subnet; invalid while it has none.
	own netip.Prefix
}

// held is what the store holds.
type held struct {
	// api is the interface over which it was read: v3 or v2. Either sees nothing of the other's keys.
	api string
	// config is flannel's network configuration; nil where there is none.
	config []byte
	// leases of all machines, by subnet.
	leases []lease
	// strange are keys or values that are none of flannel's.
	strange []error
	// cut tells that there are more leases than are read.
	cut bool
}

// The most that is read of a store.
const (
	// maxLeases are more than a network of /24 subnets out of a /12 has.
	maxLeases = 4096
	// maxLifetimes is of how many leases one machine asks how long they last, for each takes a request.
	maxLifetimes = 64
)

// read reads a store over the interface that holds flannel's keys. flanneld wrote over v2 until
// version 0.18, and over v3 since (github.com/flannel-io/flannel/commit/f4326fc8).
func read(ctx context.Context, a access) (held, error) {
	h, err := readV3(ctx, a)
	if err == nil && (h.config != nil || len(h.leases) > 0) {
		return h, nil
	}
	old, oldErr := readV2(ctx, a)
	switch {
	case oldErr == nil && (old.config != nil || len(old.leases) > 0):
		return old, nil
	case err == nil:
		return h, nil
	case oldErr == nil:
		return old, nil
	default:
		return held{}, err
	}
}

// inOrder sorts leases by subnet.
func inOrder(leases []lease) {
	slices.SortFunc(leases, func(a, b lease) int {
		return cmp.Or(a.subnet.Addr().Compare(b.subnet.Addr()), cmp.Compare(a.subnet.Bits(), b.subnet.Bits()))
	})
}

// toAsk are the indexes of leases of which this machine asks how long they last: its own and those that
// come after it, the first after the last. So all machines together ask for all, and none for many.
func toAsk(leases []lease, own netip.Prefix) []int {
	start := max(0, slices.IndexFunc(leases, func(l lease) bool { return l.subnet == own }))
	out := make([]int, 0, min(len(leases), maxLifetimes))
	for i := range min(len(leases), maxLifetimes) {
		out = append(out, (start+i)%len(leases))
	}
	return out
}

// accessOf reads the files that flanneld's settings name.
func accessOf(host monitor.Host, s settings) (access, error) {
	a := access{endpoints: s.endpoints(), prefix: s.prefix(), username: s.flags["etcd-username"], password: s.flags["etcd-password"]}
	ca, cert, key := s.flags["etcd-cafile"], s.flags["etcd-certfile"], s.flags["etcd-keyfile"]
	if ca == "" && cert == "" {
		return a, nil
	}
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		data, err := host.ReadFile(ca, fileBytes)
		if err != nil {
			return a, fmt.Errorf("reading flanneld's --etcd-cafile: %w", err)
		}
		a.tls.RootCAs = x509.NewCertPool()
		if !a.tls.RootCAs.AppendCertsFromPEM(data) {
			return a, fmt.Errorf("reading flanneld's --etcd-cafile %s: %w", ca, errors.New("it holds no certificate"))
		}
	}
	if cert != "" {
		certificate, err := host.ReadFile(cert, fileBytes)
		if err != nil {
			return a, fmt.Errorf("reading flanneld's --etcd-certfile: %w", err)
		}
		private, err := host.ReadFile(key, fileBytes)
		if err != nil {
			return a, fmt.Errorf("reading flanneld's --etcd-keyfile: %w", err)
		}
		pair, err := tls.X509KeyPair(certificate, private)
		if err != nil {
			return a, fmt.Errorf("reading flanneld's --etcd-certfile %s and --etcd-keyfile %s: %w", cert, key, err)
		}
		a.tls.Certificates = []tls.Certificate{pair}
	}
	return a, nil
}

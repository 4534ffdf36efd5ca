// Package switchd is what the lab's switch offers the machines: a load balancer
// in front of the API servers, a name server, image registries, and a web server
// that stands for the world outside of the cluster. All of it is on one address
// inside the switch's network namespace; nothing leaves it.
package switchd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/maek-dev/maek/lab/internal/registry"
)

// shutdownTimeout is how long requests may take to end when the switch stops.
const shutdownTimeout = time.Second

// readHeaderTimeout ends connections on which no request comes.
const readHeaderTimeout = 10 * time.Second

// Run serves until ctx is done. It calls ready once: when every port but the
// balanced ones is open and every image is loaded. A balanced port is open while
// a backend of it accepts connections.
func Run(ctx context.Context, config Config, logger *slog.Logger, ready func(Addresses)) error {
	group, ctx := errgroup.WithContext(ctx)
	s := &server{config: config, log: logger, group: group}
	addresses, err := s.start(ctx)
	if err == nil {
		logger.Info("ready")
		ready(addresses)
	} else {
		// What has been started ends when its group does.
		group.Go(func() error { return err })
	}
	return group.Wait()
}

// Addresses are where the services listen. They are of use where the configured
// port is 0.
type Addresses struct {
	DNS        netip.AddrPort
	HTTP       netip.AddrPort
	Registries []netip.AddrPort
}

// server is a switch being started.
type server struct {
	config Config
	log    *slog.Logger
	group  *errgroup.Group
}

func (s *server) start(ctx context.Context) (Addresses, error) {
	var addresses Addresses
	var err error
	if addresses.DNS, err = s.serveDNS(ctx); err != nil {
		return Addresses{}, fmt.Errorf("serving names: %w", err)
	}
	if addresses.HTTP, err = s.serveHTTP(ctx, s.config.HTTPPort, http.HandlerFunc(outside)); err != nil {
		return Addresses{}, fmt.Errorf("serving the outside: %w", err)
	}
	for _, balanced := range s.config.Balanced {
		b := newBalancer(netip.AddrPortFrom(s.config.Address, balanced.Port), balanced.Backends, s.log)
		s.group.Go(func() error {
			if err := b.run(ctx); err != nil {
				return fmt.Errorf("balancing port %d: %w", balanced.Port, err)
			}
			return nil
		})
	}
	for _, r := range s.config.Registries {
		address, err := s.serveRegistry(ctx, r)
		if err != nil {
			return Addresses{}, fmt.Errorf("serving images on port %d: %w", r.Port, err)
		}
		addresses.Registries = append(addresses.Registries, address)
	}
	return addresses, nil
}

// outside answers every request: it stands for any host beyond the cluster.
func outside(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "ok\n") // a client that is gone needs no answer
}

func (s *server) serveRegistry(ctx context.Context, r Registry) (netip.AddrPort, error) {
	if err := os.MkdirAll(r.Directory, 0o750); err != nil {
		return netip.AddrPort{}, err
	}
	address, err := s.serveHTTP(ctx, r.Port, registry.New(r.Directory, r.Credentials))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return address, registry.Load(ctx, address.String(), r.Credentials, r.Images)
}

func (s *server) serveHTTP(ctx context.Context, port uint16, handler http.Handler) (netip.AddrPort, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(s.config.Address, port).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	web := &http.Server{Handler: handler, ReadHeaderTimeout: readHeaderTimeout}
	s.group.Go(func() error {
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.group.Go(func() error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := web.Shutdown(stopping); err != nil {
			return web.Close()
		}
		return nil
	})
	return netip.ParseAddrPort(listener.Addr().String())
}

func (s *server) serveDNS(ctx context.Context) (netip.AddrPort, error) {
	streams, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(s.config.Address, s.config.DNSPort).String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	// Answers by TCP and UDP are on one port, which TCP may have just chosen.
	address, err := netip.ParseAddrPort(streams.Addr().String())
	if err != nil {
		return netip.AddrPort{}, errors.Join(err, streams.Close())
	}
	packets, err := new(net.ListenConfig).ListenPacket(ctx, "udp", address.String())
	if err != nil {
		return netip.AddrPort{}, errors.Join(err, streams.Close())
	}
	handler := newNames(s.config.Hosts)
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: handler},
		{Listener: streams, Handler: handler},
	} {
		started, ended := make(chan struct{}), make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		s.group.Go(func() error {
			defer close(ended)
			return server.ActivateAndServe()
		})
		s.group.Go(func() error {
			<-ctx.Done()
			select {
			case <-started:
				return server.Shutdown()
			case <-ended:
				return nil
			}
		})
	}
	return address, nil
}

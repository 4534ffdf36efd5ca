package operator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// closeWithin is how long requests may take that are being answered when the operator stops.
const closeWithin = 5 * time.Second

// recertify is how often files of a certificate are read again.
const recertify = time.Minute

// door is a listener with its server.
type door struct {
	listener net.Listener
	server   *http.Server
}

// listen opens the status page's addresses. An address that cannot be had is an error: checkers would
// report to somebody else.
func (o *Operator) listen(ctx context.Context, page func() *http.Server) ([]*door, error) {
	settings := o.Settings()
	address := settings.Listen
	if o.o.Listen != "" {
		address = o.o.Listen
	}
	plain, err := o.open(ctx, address, page)
	if err != nil {
		return nil, err
	}
	doors := []*door{plain}
	if settings.TLSCertFile == "" || settings.TLSKeyFile == "" {
		return doors, nil
	}
	pair := &keyPair{cert: settings.TLSCertFile, key: settings.TLSKeyFile, clock: o.o.Clock}
	if _, err := pair.get(nil); err != nil {
		_ = plain.listener.Close()
		return nil, err
	}
	secure, err := o.open(ctx, settings.ListenTLS, page)
	if err != nil {
		_ = plain.listener.Close()
		return nil, err
	}
	secure.listener = tls.NewListener(secure.listener, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: pair.get,
	})
	return append(doors, secure), nil
}

func (o *Operator) open(ctx context.Context, address string, page func() *http.Server) (*door, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("opening the status page: %w", err)
	}
	server := page()
	server.Handler = o.withHealth(server.Handler)
	server.ErrorLog = slog.NewLogLogger(o.o.Log.Handler(), slog.LevelDebug)
	o.o.Log.Info("the status page is open", "address", listener.Addr().String())
	return &door{listener: listener, server: server}, nil
}

// serve answers requests until ctx ends, and then those that have begun.
func (d *door) serve(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		if err := d.server.Shutdown(last); err != nil {
			_ = d.server.Close() // what is still open then is a log that is followed
		}
	})
	err := d.server.Serve(d.listener)
	if stop() {
		return fmt.Errorf("serving the status page: %w", err)
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the status page: %w", err)
}

// keyPair is a certificate that lies in files and is renewed there.
type keyPair struct {
	cert, key string
	clock     clock.PassiveClock

	mu     sync.Mutex
	loaded *tls.Certificate
	readAt time.Time
}

// get returns the certificate, read anew where it is a minute old; one that cannot be read any more
// stays.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.loaded != nil && now.Sub(p.readAt) < recertify {
		return p.loaded, nil
	}
	p.readAt = now
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	switch {
	case err == nil:
		p.loaded = &pair
	case p.loaded == nil:
		return nil, fmt.Errorf("reading the status page's certificate: %w", err)
	}
	return p.loaded, nil
}

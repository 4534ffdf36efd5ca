package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// counter is a proxy before the API server that counts what passes through it.
type counter struct {
	server *http.Server
	url    string

	mu    sync.Mutex
	calls map[string]int
	bytes atomic.Int64
}

func newCounter(cfg *rest.Config) (*counter, error) {
	upstream, err := url.Parse(cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the proxy's transport: %w", err)
	}
	c := &counter{calls: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport:     transport,
		FlushInterval: -1,
		// Connections are cut whenever a replica is killed.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			r.Body = &meter{ReadCloser: r.Body, n: &c.bytes}
			return nil
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the server
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	c.url = "http://" + l.Addr().String()
	c.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.note(r)
		r.Body = &meter{ReadCloser: r.Body, n: &c.bytes}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}

// note counts a request as "verb resource".
func (c *counter) note(r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 1 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 2 && parts[0] == "apis":
		parts = parts[3:]
	default:
		parts = nil
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource, named := "other", len(parts) > 1
	if len(parts) > 0 {
		resource = parts[0]
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := r.Method
	switch {
	case r.URL.Query().Get("watch") != "":
		verb = "WATCH"
	case verb == http.MethodGet && !named:
		verb = "LIST"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[verb+" "+resource]++
}

// seen is what was counted so far.
func (c *counter) seen() (map[string]int, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls), c.bytes.Load()
}

// meter counts bytes that are read.
type meter struct {
	io.ReadCloser
	n *atomic.Int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.n.Add(int64(n))
	return n, err
}

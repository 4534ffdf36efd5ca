// Package serve answers those who ask an agent: its peers, administrators with or without an API server,
// Prometheus, and root on the own machine. What strangers send costs next to nothing.
package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/agent/access"
	"github.com/maek-dev/maek/internal/agent/identity"
	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/agent/prober"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Options of a server.
type Options struct {
	// Source knows this agent and its peers.
	Source peer.Source
	// Client reaches peers.
	Client peer.Client
	// Check tells who sent a request that no peer sent, and refuses those who may not.
	Check func(*http.Request) (user string, err error)
	// Report is the agent's own.
	Report func() snapshot.MachineReport
	// Diagnose says what the rules make of it.
	Diagnose func(context.Context) diagnosis.Diagnosis
	// Prober makes probes for callers; nil makes none.
	Prober *prober.Prober
	// Alive tells whether the agent's loops turn.
	Alive func() bool
	// Metrics and Mesh answer below monitor.MetricsPath and peer.MeshPath; Mesh is nil where there is none.
	Metrics, Mesh http.Handler
	// Now is the machine's clock.
	Now func() time.Time
	// Log of what goes wrong.
	Log *slog.Logger
}

// Bounds of one request and of many.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 90 * time.Second
	// answerTimeout bounds the longest answer: the reports of thousands of peers.
	answerTimeout = 2 * time.Minute
	// maxHeader has room for a token and for the patterns of all evidence that rules read, in bytes.
	maxHeader = 64 << 10
	// maxBody is what a peer may send, in bytes.
	maxBody = 64 << 10
	// costly answers at once: reports and diagnoses; relays collect those of all peers.
	costly = 4
	relays = 2
)

// Server answers.
type Server struct {
	o      Options
	costly chan struct{}
	relays chan struct{}
	// reading are the requests for probes that are being read.
	reading chan struct{}
	// rates of addresses that ask for anything, and for probes.
	rates, probes *rates
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		o: o, costly: make(chan struct{}, costly), relays: make(chan struct{}, relays), reading: make(chan struct{}, reading),
		rates: newRates(o.Now, requestsPerSecond, requestsAtOnce), probes: newRates(o.Now, probeRequestsPerSecond, probeRequestsAtOnce),
	}
}

// Outside is what the network sees.
func (s *Server) Outside() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+monitor.HealthPath, s.health)
	s.routes(mux, s.peersToo, s.authorized)
	if s.o.Mesh != nil {
		mux.Handle(peer.MeshPath, s.peersOnly(s.o.Mesh))
	}
	return s.bounded(mux)
}

// Inside is what the socket on the machine sees, which root alone can open.
func (s *Server) Inside() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+monitor.HealthPath, s.health)
	root := func(h http.HandlerFunc) http.Handler { return h }
	s.routes(mux, root, root)
	return mux
}

// routes has two guards: report is that of the own report, which peers pass on, and guard that of the rest.
func (s *Server) routes(mux *http.ServeMux, report, guard func(http.HandlerFunc) http.Handler) {
	mux.Handle("GET "+monitor.ReportPath, report(atOnce(s.costly, s.report)))
	mux.Handle("GET "+monitor.ReportsPath, guard(atOnce(s.relays, s.relay)))
	mux.Handle("GET "+monitor.DiagnosisPath, guard(atOnce(s.costly, s.diagnosis)))
	mux.Handle("GET "+monitor.MetricsPath, guard(atOnce(s.costly, s.o.Metrics.ServeHTTP)))
	if s.o.Prober != nil {
		mux.Handle("POST "+monitor.ProbePath, guard(s.probe))
	}
}

// Serve answers on both listeners until the context ends; either may be nil. An error is about the server
// itself.
func (s *Server) Serve(ctx context.Context, network, socket net.Listener, config *tls.Config) error {
	errs := make(chan error, 2)
	var wg sync.WaitGroup
	run := func(l net.Listener, h http.Handler) {
		server := &http.Server{
			Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: answerTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
			// What a stranger does wrong in a handshake fills no log.
			ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		}
		wg.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				errs <- fmt.Errorf("serving at %s: %w", l.Addr(), err)
			}
		})
		wg.Go(func() {
			<-ctx.Done()
			// Whoever waits asks another agent; nothing that is kept depends on an answer.
			_ = server.Close()
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if network != nil {
		run(tls.NewListener(limit(network), config), s.Outside())
	}
	if socket != nil {
		run(socket, s.Inside())
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	cancel()
	wg.Wait()
	return err
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if !s.o.Alive() {
		http.Error(w, "no monitor has looked for minutes", http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// peersToo lets in peers and those whom the guard knows. A peer needs no more than the report: whoever
// took over one machine must not have every other ask all of them.
func (s *Server) peersToo(h http.HandlerFunc) http.Handler {
	others := s.authorized(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := identity.Caller(r.TLS, s.o.Source); ok {
			h(w, r.WithContext(peer.WithCaller(r.Context(), p)))
			return
		}
		others.ServeHTTP(w, r)
	})
}

// authorized lets in those whom the guard knows.
func (s *Server) authorized(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := s.o.Check(r)
		if err != nil {
			refuse(w, err)
			return
		}
		s.o.Log.Debug("request", "user", user, "path", r.URL.Path)
		h(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, user)))
	})
}

func (s *Server) peersOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := identity.Caller(r.TLS, s.o.Source)
		if !ok {
			http.Error(w, "only agents of this cluster may", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h.ServeHTTP(w, r.WithContext(peer.WithCaller(r.Context(), p)))
	})
}

// refuse says why in one sentence, with the status that fits.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusUnauthorized
	switch {
	case errors.Is(err, access.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, access.ErrBusy):
		tooMany(w, err.Error())
		return
	case errors.Is(err, access.ErrUnreachable):
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

func tooMany(w http.ResponseWriter, reason string) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, reason, http.StatusTooManyRequests)
}

// atOnce bounds how many answers of a sort are made at one moment.
func atOnce(slots chan struct{}, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			h(w, r)
		default:
			tooMany(w, "others are being answered; ask again")
		}
	}
}

func (s *Server) diagnosis(w http.ResponseWriter, r *http.Request) {
	language := finding.English
	if finding.Language(r.URL.Query().Get("lang")) == finding.Korean {
		language = finding.Korean
	}
	doc := s.o.Diagnose(r.Context()).Document(language, v1alpha1.Stats{})
	w.Header().Set("Content-Type", "application/json")
	out := compressed(w, r)
	defer out.end()
	// Not by package report, which brings templates into a small program.
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		s.o.Log.Debug("a diagnosis was not wholly sent", "error", err)
	}
}

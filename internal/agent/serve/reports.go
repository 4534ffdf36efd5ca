package serve

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maek-dev/maek/internal/agent/peer"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Bounds of collecting the reports of peers.
const (
	// askedAtOnce peers: their reports are in memory until they are passed on.
	askedAtOnce = 32
	// peerTimeout is how long one peer may take, over all of its addresses.
	peerTimeout = 3 * time.Second
	// maxReport of a peer, in bytes after decompression.
	maxReport = 8 << 20
	// maxKept is how many peers there may be for their connections to be kept after a relay.
	maxKept = 64
	// keysParameter names patterns of evidence that is wanted.
	keysParameter = "keys"
)

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	out := compressed(w, r)
	defer out.end()
	if err := json.NewEncoder(out).Encode(trim(s.o.Report(), r.URL.Query()[keysParameter])); err != nil {
		s.o.Log.Debug("a report was not wholly sent", "error", err)
	}
}

// trim leaves the evidence that fits any of the patterns; without patterns, all of it.
func trim(m snapshot.MachineReport, patterns []string) snapshot.MachineReport {
	if len(patterns) == 0 {
		return m
	}
	// By first segment, which one monitor has for itself, so that each value is held against few.
	byFirst := map[string][]snapshot.EvidenceKey{}
	for _, p := range patterns {
		first, _, _ := strings.Cut(p, "/")
		byFirst[first] = append(byFirst[first], snapshot.EvidenceKey(p))
	}
	m.Evidence = slices.DeleteFunc(slices.Clone(m.Evidence), func(e snapshot.MachineEvidence) bool {
		first, _, _ := strings.Cut(string(e.Key), "/")
		return !slices.ContainsFunc(byFirst[first], e.Key.Fits) && !slices.ContainsFunc(byFirst["*"], e.Key.Fits)
	})
	return m
}

// line is a monitor.Relayed whose report is not taken apart.
type line struct {
	Node   string          `json:"node"`
	Report json.RawMessage `json:"report,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// relay sends its own report and those of its peers, as they come.
func (s *Server) relay(w http.ResponseWriter, r *http.Request) {
	patterns := r.URL.Query()[keysParameter]
	own := trim(s.o.Report(), patterns)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := compressed(w, r)
	defer out.end()
	encoder := json.NewEncoder(out)
	// At once, so that whoever asks knows that somebody answers while peers are waited for.
	err := errors.Join(encoder.Encode(monitor.Relayed{Node: own.Node, Report: &own}), out.flush())

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	peers := s.o.Source.Peers()
	lines := make(chan line)
	slots := make(chan struct{}, askedAtOnce)
	var wg sync.WaitGroup
	go func() {
		defer close(lines)
		defer wg.Wait()
		for _, p := range peers {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-slots }()
				select {
				case lines <- s.ask(ctx, p, wanted(p, patterns, len(peers)), len(peers) > maxKept):
				case <-ctx.Done():
				}
			})
		}
	}()
	for l := range lines {
		if err == nil {
			err = errors.Join(encoder.Encode(l), out.flush())
		}
		if err != nil {
			cancel()
		}
	}
	if err != nil {
		s.o.Log.Debug("reports were not wholly sent", "error", err)
	}
}

// everyNode begins the patterns of what an agent knows of all Nodes.
const everyNode = "cluster/node/*/"

// wanted is what is asked of a peer: in a large cluster it tells of its own Node only, for all know the
// same of all of them, this agent too. Of a thousand machines it would be a million times the same.
func wanted(p peer.Peer, patterns []string, peers int) []string {
	if peers <= maxKept {
		return patterns
	}
	own := slices.Clone(patterns)
	for i, pattern := range own {
		if last, ok := strings.CutPrefix(pattern, everyNode); ok {
			own[i] = string(snapshot.KeyOf("cluster", "node", p.Node)) + "/" + last
		}
	}
	return own
}

// ask fetches one peer's report.
func (s *Server) ask(ctx context.Context, p peer.Peer, patterns []string, hangUp bool) line {
	l := line{Node: p.Node}
	switch {
	case !p.Expected && p.Key == "":
		l.Error = "no agent runs there"
	case p.Key == "":
		l.Error = "its agent has not published its key yet"
	case len(p.Addresses) == 0:
		l.Error = "its Node tells no internal address"
	}
	if l.Error != "" {
		return l
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	var errs []error
	for _, at := range p.Addresses {
		data, err := s.fetch(ctx, p, at, patterns, hangUp)
		if err == nil {
			l.Report = data
			return l
		}
		errs = append(errs, err)
	}
	reason := strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; ")
	if !p.Expected {
		reason = "no agent is meant to run there: " + reason
	}
	l.Error = reason
	return l
}

func (s *Server) fetch(ctx context.Context, p peer.Peer, at netip.Addr, patterns []string, hangUp bool) (json.RawMessage, error) {
	target := url.URL{Scheme: "https", Host: "agent", Path: monitor.ReportPath, RawQuery: url.Values{keysParameter: patterns}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", at, err)
	}
	request.Close = hangUp
	response, err := s.o.Client(p, at).Do(request)
	if err != nil {
		// What the client adds is the address that it made up.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, fmt.Errorf("asking %s: %w", at, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return nil, fmt.Errorf("asking %s: it answered %s: %s", at, response.Status, strings.ToValidUTF8(strings.TrimSpace(string(said)), "?"))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("reading the report of %s: %w", at, err)
	}
	return verify(p, data)
}

// verify refuses a report that is not what the peer may say.
func verify(p peer.Peer, data []byte) (json.RawMessage, error) {
	if len(data) > maxReport {
		return nil, fmt.Errorf("its report is longer than %d MiB", maxReport>>20)
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Node       string `json:"node"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("its report is not one: %w", err)
	}
	if head.APIVersion != snapshot.MachineReportVersion {
		return nil, fmt.Errorf("its agent speaks %q, and this one %q: run one version on all machines", head.APIVersion, snapshot.MachineReportVersion)
	}
	if head.Node != p.Node {
		return nil, fmt.Errorf("it reports as node %q, which it is not", head.Node)
	}
	return bytes.TrimSpace(data), nil
}

// answer is a body, compressed where the caller takes that.
type answer struct {
	io.Writer
	zip *gzip.Writer
	to  *http.ResponseController
}

func compressed(w http.ResponseWriter, r *http.Request) answer {
	a := answer{Writer: w, to: http.NewResponseController(w)}
	accepted := strings.Split(cmp.Or(r.Header.Get("Accept-Encoding"), "identity"), ",")
	if slices.ContainsFunc(accepted, func(e string) bool {
		name, quality, _ := strings.Cut(strings.TrimSpace(e), ";")
		return name == "gzip" && strings.TrimSpace(quality) != "q=0"
	}) {
		w.Header().Set("Content-Encoding", "gzip")
		// The fastest: evidence shrinks to a tenth even so. Its level is a valid one.
		a.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
		a.Writer = a.zip
	}
	return a
}

func (a answer) flush() error {
	if a.zip != nil {
		if err := a.zip.Flush(); err != nil {
			return err
		}
	}
	return a.to.Flush()
}

func (a answer) end() {
	if a.zip != nil {
		_ = a.zip.Close()
	}
}

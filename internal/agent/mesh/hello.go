package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
	"github.com/maek-dev/maek/internal/agent/mesh/here"
	"github.com/maek-dev/maek/internal/agent/peer"
)

// TimedOut is the answer of a request that nothing came back to.
const TimedOut = here.TimedOut

// Version of the greeting. Agents that differ in it do not watch each other, and say so.
const Version = 1

// versionHeader says which version an agent speaks that refuses another.
const versionHeader = "Maek-Mesh-Version"

// Bounds of a greeting.
const (
	helloLimit = 16 << 10 // bytes
	bulkSize   = 64 << 10 // bytes of a large answer
	bulkMost   = 256 << 10
	// contactTimeout bounds one request.
	contactTimeout = 3 * time.Second
)

// hello is what two agents tell each other.
type hello struct {
	// Version of the greeting.
	Version int `json:"version"`
	// Node and UID of who speaks.
	Node string `json:"node"`
	UID  string `json:"uid"`
	// Boot is the boot ID of its machine, and Session that of its beacons.
	Boot    string `json:"boot,omitempty"`
	Session uint32 `json:"session"`
	// MTU of its machine's network in bytes, and its addresses in the pod network.
	MTU  int          `json:"mtu,omitempty"`
	Pods []PodAddress `json:"pods,omitempty"`
	// Key with which the one spoken to is to seal beacons for who speaks.
	Key []byte `json:"key"`
	// Received and Answered are when the request came and the answer left, in nanoseconds since 1970 by
	// the answering machine's clock.
	Received int64 `json:"received,omitempty"`
	Answered int64 `json:"answered,omitempty"`
}

// Handler answers greetings and echoes of peers, below peer.MeshPath. Whoever is no peer is refused.
func (m *Mesh) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+peer.MeshPath+"hello", m.serveHello)
	mux.HandleFunc("GET "+peer.MeshPath+"echo", m.serveEcho)
	return mux
}

func (m *Mesh) serveHello(w http.ResponseWriter, r *http.Request) {
	received := m.o.Now()
	caller, ok := peer.Caller(r.Context())
	if !ok {
		http.Error(w, "only peers are greeted", http.StatusForbidden)
		return
	}
	var h hello
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, helloLimit)).Decode(&h); err != nil {
		http.Error(w, "reading the greeting: "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := m.accept(caller, h); err != nil {
		status := http.StatusForbidden
		if errors.Is(err, errVersion) {
			status = http.StatusHTTPVersionNotSupported
			w.Header().Set(versionHeader, strconv.Itoa(Version))
		}
		http.Error(w, err.Error(), status)
		return
	}
	answer := m.introduce(caller)
	answer.Received, answer.Answered = received.UnixNano(), m.o.Now().UnixNano()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		m.o.Log.Debug("answering a greeting", "peer", caller.Node, "error", err)
	}
}

// serveEcho answers as many bytes as are asked for, at most bulkMost.
func (m *Mesh) serveEcho(w http.ResponseWriter, r *http.Request) {
	if _, ok := peer.Caller(r.Context()); !ok {
		http.Error(w, "only peers are answered", http.StatusForbidden)
		return
	}
	size, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	if err != nil || size < 0 || size > bulkMost {
		http.Error(w, fmt.Sprintf("bytes must be 0 to %d", bulkMost), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	part := make([]byte, min(size, 8<<10))
	for size > 0 {
		n := min(size, len(part))
		if _, err := w.Write(part[:n]); err != nil {
			return
		}
		size -= n
	}
}

// introduce is what this agent tells a peer.
func (m *Mesh) introduce(to peer.Peer) hello {
	self := m.o.Source.Self()
	m.mu.Lock()
	defer m.mu.Unlock()
	key := beacon.KeyFor(m.secret, to.UID)
	return hello{
		Version: Version, Node: self.Node, UID: self.UID, Boot: m.o.Boot, Session: m.session,
		MTU: m.local.mtu, Pods: m.local.pods, Key: key[:],
	}
}

var errVersion = errors.New("greetings differ in version")

// accept takes in what a peer said about itself. Who it is says its certificate: a greeting in another's
// name is refused, and an address outside its pod network is not believed, for beacons would be sent there.
func (m *Mesh) accept(from peer.Peer, h hello) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[from.UID]
	if l == nil {
		return fmt.Errorf("node %s is not known here yet", from.Node)
	}
	l.version = h.Version
	if h.Version != Version {
		return fmt.Errorf("%w: %d here, %d there", errVersion, Version, h.Version)
	}
	if h.Node != from.Node || h.UID != from.UID || len(h.Key) != len(beacon.Key{}) {
		m.counts.lied++
		return fmt.Errorf("the certificate is of node %s (%s), the greeting of node %s (%s)", from.Node, from.UID, h.Node, h.UID)
	}
	pods := slices.DeleteFunc(h.Pods, func(p PodAddress) bool {
		alien := !within(p.Address, from.PodCIDRs) || p.MTU < leastMTU
		if alien {
			m.counts.lied++
		}
		return alien
	})
	theirs := local{mtu: h.MTU, pods: pods[:min(len(pods), podAddresses)]}
	key := beacon.Key(h.Key)
	if l.seal == nil || *l.seal != key || l.theirs.mtu != theirs.mtu || !slices.Equal(l.theirs.pods, theirs.pods) {
		m.unsaved = true
		if l.seal == nil {
			l.next = m.o.Now()
		}
	}
	for s := range l.heard {
		l.heard[s].Begin(h.Session)
	}
	l.seal, l.theirs, l.boot = &key, theirs, h.Boot
	m.keys[from.UID] = remembered{Key: key, MTU: theirs.mtu, Pods: theirs.pods}
	return nil
}

// differs takes in that a peer speaks another version.
func (m *Mesh) differs(from peer.Peer, version string) {
	n, err := strconv.Atoi(version)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.links[from.UID]; l != nil {
		l.version = n
	}
}

// exchange greets a peer at an address.
func (m *Mesh) exchange(ctx context.Context, to peer.Peer, at netip.Addr) (clockOffset, error) {
	body, err := json.Marshal(m.introduce(to))
	if err != nil {
		return clockOffset{}, fmt.Errorf("writing the greeting: %w", err)
	}
	sent := m.o.Now()
	data, err := m.request(ctx, to, at, http.MethodPost, "hello", body, helloLimit)
	if err != nil {
		return clockOffset{}, err
	}
	returned := m.o.Now()
	var h hello
	if err := json.Unmarshal(data, &h); err != nil {
		return clockOffset{}, fmt.Errorf("reading the answer: %w", err)
	}
	if err := m.accept(to, h); err != nil {
		return clockOffset{}, err
	}
	return offsetOf(sent, time.Unix(0, h.Received), time.Unix(0, h.Answered), returned), nil
}

// request sends one request to a peer and reads its answer.
func (m *Mesh) request(ctx context.Context, to peer.Peer, at netip.Addr, method, path string, body []byte, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	url := "https://" + netip.AddrPortFrom(at, uint16(m.o.Port)).String() + peer.MeshPath + path //nolint:gosec // a port
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	response, err := m.o.Client(to, at).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode == http.StatusHTTPVersionNotSupported {
		m.differs(to, response.Header.Get(versionHeader))
	}
	if response.StatusCode != http.StatusOK {
		return nil, &here.FailureError{Text: fmt.Sprintf("it answered %s: %s", response.Status, strings.TrimSpace(string(data[:min(len(data), 200)])))}
	}
	return data, nil
}

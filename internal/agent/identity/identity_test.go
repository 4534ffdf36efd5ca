package identity

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/agent/peer"
)

// memory is a store that a test can look into.
type memory map[string][]byte

func (m memory) Load(name string) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func (m memory) Save(name string, data []byte) error {
	m[name] = data
	return nil
}

func load(t *testing.T, store memory, node string) Own {
	t.Helper()
	own, err := Load(store, node)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func TestAKeyIsMadeOnce(t *testing.T) {
	store := memory{}
	first := load(t, store, "w1")
	if again := load(t, store, "w1"); again.Fingerprint != first.Fingerprint {
		t.Error("another key after a restart")
	}
	renamed := load(t, store, "w2")
	if renamed.Fingerprint != first.Fingerprint || renamed.Certificate.Leaf.Subject.CommonName != "w2" {
		t.Errorf("after a rename: key %s for %s, want the old key for w2", renamed.Fingerprint, renamed.Certificate.Leaf.Subject.CommonName)
	}
	store[stored] = store[stored][:100]
	if cut := load(t, store, "w2"); cut.Fingerprint == first.Fingerprint || cut.Fingerprint == "" {
		t.Errorf("after its file was cut short: key %q, want a new one", cut.Fingerprint)
	}
	if years := first.Certificate.Leaf.NotAfter.Year() - time.Unix(0, 0).Year(); years < 100 {
		t.Errorf("the certificate ends after %d years", years)
	}
}

// broken is a store on a disk that neither gives nor takes.
type broken struct{}

func (broken) Load(string) ([]byte, error) { return nil, syscall.EIO }
func (broken) Save(string, []byte) error   { return syscall.ENOSPC }

func TestAKeyThatCannotBeKept(t *testing.T) {
	own, err := Load(broken{}, "w1")
	if !errors.Is(err, ErrUnkept) || own.Fingerprint == "" || own.Certificate.PrivateKey == nil {
		t.Errorf("key %q, %v; want one, and %v", own.Fingerprint, err, ErrUnkept)
	}
}

type peers []peer.Peer

func (peers) Self() peer.Peer      { return peer.Peer{} }
func (p peers) Peers() []peer.Peer { return p }

// TestWhoMeets connects two agents that know each other in one way or another.
func TestWhoMeets(t *testing.T) {
	server, client, stranger := load(t, memory{}, "w1"), load(t, memory{}, "w2"), load(t, memory{}, "w3")
	nodeW2 := func(key string) peers { return peers{{Node: "w2", Key: key}} }
	for name, tc := range map[string]struct {
		// known is what the client's side knows of w1's key, and who is what w1 knows of others.
		known string
		who   peers
		with  Own
		// wantErr is why no connection is made; wantCaller is whom the server sees.
		wantErr    error
		wantCaller string
	}{
		"both are known":                               {server.Fingerprint, nodeW2(client.Fingerprint), client, nil, "w2"},
		"the server's key is not published":            {"", nodeW2(client.Fingerprint), client, ErrUnknownKey, ""},
		"somebody else sits at the address":            {stranger.Fingerprint, nodeW2(client.Fingerprint), client, ErrOtherKey, ""},
		"the client's key is not published":            {server.Fingerprint, nodeW2(""), client, nil, ""},
		"the client's node has another key now":        {server.Fingerprint, nodeW2(stranger.Fingerprint), client, nil, ""},
		"the client's node is not of this cluster":     {server.Fingerprint, nil, client, nil, ""},
		"another node publishes the client's key":      {server.Fingerprint, peers{{Node: "evil", Key: client.Fingerprint}, {Node: "w2", Key: client.Fingerprint}}, client, nil, "w2"},
		"a stranger whose own key another node claims": {server.Fingerprint, nodeW2(stranger.Fingerprint), stranger, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			caller := make(chan string, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				p, ok := Caller(r.TLS, tc.who)
				if ok != (p.Node != "" && p.Key != "" && p.Key == tc.with.Fingerprint) {
					t.Errorf("Caller = %v, %v", p, ok)
				}
				if !ok {
					p.Node = ""
				}
				caller <- p.Node
			}))
			s.TLS = server.Server()
			s.StartTLS()
			defer s.Close()
			at := netip.MustParseAddrPort(s.Listener.Addr().String())
			clients := NewClients(tc.with, at.Port())
			p := peer.Peer{Node: "w1", Key: tc.known, Addresses: []netip.Addr{at.Addr()}}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://agent/report", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := clients.For(p, at.Addr()).Do(request)
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error %v, want %v", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			defer func() { _ = response.Body.Close() }()
			if got := <-caller; got != tc.wantCaller {
				t.Errorf("the server sees %q, want %q", got, tc.wantCaller)
			}
			if first := clients.For(p, at.Addr()); first != clients.For(p, at.Addr()) {
				t.Error("a client is made anew for each request")
			}
			clients.Forget(nil)
			if len(clients.kept) > 0 {
				t.Error("the client of a peer that is gone is kept")
			}
		})
	}
}

// TestAHostWithoutACertificate is no agent: a client finds out before it says anything.
func TestAHostWithoutACertificate(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		hello := make([]byte, 1)
		_, _ = io.ReadFull(c, hello)
		heard <- string(hello)
	}()
	defer func() { _ = listener.Close() }()
	at := netip.MustParseAddrPort(listener.Addr().String())
	clients := NewClients(load(t, memory{}, "w1"), at.Port())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://agent/report", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := clients.For(peer.Peer{Node: "w2", Key: "sha256:0"}, at.Addr()).Do(request)
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("it was believed")
	}
	// 22 is a TLS handshake record: nothing was sent in the clear.
	if got := <-heard; got != "\x16" {
		t.Errorf("first byte %q", got)
	}
}

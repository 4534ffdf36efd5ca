package switchd

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// start runs a switch on loopback addresses with free ports.
func start(t *testing.T, config Config) Addresses {
	t.Helper()
	config.Address = netip.MustParseAddr("127.0.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Addresses, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, config, slog.New(slog.DiscardHandler), func(a Addresses) { ready <- a })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case addresses := <-ready:
		return addresses
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
		return Addresses{}
	}
}

func TestTheOutsideAnswersEveryRequest(t *testing.T) {
	addresses := start(t, Config{})
	for _, path := range []string{"/", "/any/thing"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addresses.HTTP.String()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // nothing is read of it
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestRegistriesAreReadyWhenTheSwitchIs(t *testing.T) {
	addresses := start(t, Config{Registries: []Registry{{Directory: t.TempDir() + "/new"}}})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addresses.Registries[0].String()+"/v2/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // nothing is read of it
	if response.StatusCode != http.StatusOK {
		t.Errorf("status = %s, want 200", response.Status)
	}
}

func TestASwitchThatCannotServeSaysWhat(t *testing.T) {
	taken := start(t, Config{})
	err := Run(t.Context(), Config{Address: taken.HTTP.Addr(), HTTPPort: taken.HTTP.Port()}, slog.New(slog.DiscardHandler), func(Addresses) {
		t.Error("it says that it is ready")
	})
	if err == nil || !strings.Contains(err.Error(), "serving the outside") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("err = %v, want one that says which service and why", err)
	}
}

func TestConfigurationIsReadStrictly(t *testing.T) {
	tests := map[string]struct {
		content string
		wantErr string
	}{
		"complete":         {content: `{"address":"10.99.0.1","dnsPort":53,"hosts":{"cp1":"10.99.0.11"},"balanced":[{"port":6443,"backends":["10.99.0.11:6443"]}]}`},
		"a misspelled key": {content: `{"address":"10.99.0.1","host":{}}`, wantErr: `unknown field "host"`},
		"no address":       {content: `{}`, wantErr: "address is missing"},
		"no JSON":          {content: `address: 10.99.0.1`, wantErr: "invalid character"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, tc.content)
			config, err := ReadConfig(path)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || !strings.Contains(err.Error(), path) {
					t.Errorf("err = %v, want one with %q and the file", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Config{
				Address: netip.MustParseAddr("10.99.0.1"), DNSPort: 53,
				Hosts:    map[string]netip.Addr{"cp1": netip.MustParseAddr("10.99.0.11")},
				Balanced: []Balanced{{Port: 6443, Backends: []netip.AddrPort{netip.MustParseAddrPort("10.99.0.11:6443")}}},
			}
			if diff := cmp.Diff(want, config, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "switchd.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

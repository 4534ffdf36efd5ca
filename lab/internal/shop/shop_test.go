package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged collects a tier's log and says when it serves.
type logged struct {
	mu      sync.Mutex
	content bytes.Buffer
	serving chan string
}

func newLogged() *logged { return &logged{serving: make(chan string, 1)} }

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var entry struct{ Msg, Address string }
	if err := json.Unmarshal(line, &entry); err == nil && entry.Msg == "serving" {
		l.serving <- entry.Address
	}
	return l.content.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.content.String()
}

// start runs a tier on a free port and returns its URL and how it ends.
func start(t *testing.T, tier string, env Environment) (base string, ended <-chan error) {
	t.Helper()
	env["LISTEN"] = "127.0.0.1:0"
	log := newLogged()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- Run(ctx, tier, env, slog.New(slog.NewJSONHandler(log, nil))) }()
	t.Cleanup(cancel)
	select {
	case address := <-log.serving:
		return "http://" + address, result
	case err := <-result:
		t.Fatalf("%s ended: %v", tier, err)
		return "", nil
	}
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func do(t *testing.T, method, address, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// tiers starts db, api and front, each in front of the other.
func tiers(t *testing.T, readiness string) (front, api string, stopDB func()) {
	t.Helper()
	dbLog := newLogged()
	ctx, cancel := context.WithCancel(t.Context())
	dbEnded := make(chan error, 1)
	go func() {
		env := Environment{"LISTEN": "127.0.0.1:0", "DATA": t.TempDir(), "DB_PASSWORD": "secret"}
		dbEnded <- Run(ctx, "db", env, slog.New(slog.NewJSONHandler(dbLog, nil)))
	}()
	db := "http://" + <-dbLog.serving
	api, _ = start(t, "api", Environment{
		"DB_URL": db, "DB_PASSWORD": "secret", "READINESS": readiness,
		"CATALOGUE": writeFile(t, "catalogue.json", `{"items":["tea","rice"]}`),
	})
	front, _ = start(t, "front", Environment{"API_URL": api, "READINESS": readiness})
	return front, api, func() {
		cancel()
		if err := <-dbEnded; err != nil {
			t.Errorf("db ended with %v", err)
		}
	}
}

func TestAnOrderIsSeenThroughAllTiers(t *testing.T) {
	front, api, stopDB := tiers(t, "shallow")
	defer stopDB()
	if status, answer := do(t, http.MethodPost, api+"/orders", "rice"); status != http.StatusNoContent {
		t.Fatalf("ordering: %d %s", status, answer)
	}
	status, answer := do(t, http.MethodGet, front+"/", "")
	want := `{"items":["tea","rice"],"orders":{"rice":1}}` + "\n"
	if status != http.StatusOK || answer != want {
		t.Errorf("front answers %d %s, want %s", status, answer, want)
	}
	if status, answer := do(t, http.MethodPost, api+"/orders", "gold"); status != http.StatusBadRequest || !strings.Contains(answer, "gold") {
		t.Errorf("ordering what there is not: %d %s, want 400", status, answer)
	}
}

func TestWithoutTheDatabaseVisitorsAreToldWhichTierIsBroken(t *testing.T) {
	tests := map[string]int{"shallow": http.StatusOK, "deep": http.StatusServiceUnavailable}
	for readiness, wantReady := range tests {
		t.Run(readiness, func(t *testing.T) {
			front, _, stopDB := tiers(t, readiness)
			if status, answer := do(t, http.MethodGet, front+"/readyz", ""); status != http.StatusOK {
				t.Fatalf("before: readiness is %d %s", status, answer)
			}
			stopDB()
			status, answer := do(t, http.MethodGet, front+"/", "")
			if status != http.StatusBadGateway || !strings.Contains(answer, "calling db") {
				t.Errorf("front answers %d %s, want 502 that names db", status, answer)
			}
			if status, _ := do(t, http.MethodGet, front+"/readyz", ""); status != wantReady {
				t.Errorf("readiness is %d, want %d", status, wantReady)
			}
			if status, _ := do(t, http.MethodGet, front+"/healthz", ""); status != http.StatusOK {
				t.Errorf("liveness is %d, want 200", status)
			}
		})
	}
}

func TestBadConfigurationIsSaidWithTheNameOfTheVariable(t *testing.T) {
	catalogue := writeFile(t, "catalogue.json", `{"items":["tea"]}`)
	tests := map[string]struct {
		tier string
		env  Environment
		want string
	}{
		"no tier":                 {"", Environment{}, "front, api, db and report"},
		"no URL":                  {"front", Environment{}, "API_URL is not set"},
		"a URL of another kind":   {"front", Environment{"API_URL": "api:8080"}, `API_URL is "api:8080"`},
		"an unknown readiness":    {"front", Environment{"API_URL": "http://api", "READINESS": "maybe"}, `READINESS is "maybe"`},
		"no password":             {"api", Environment{"CATALOGUE": catalogue, "DB_URL": "http://db"}, "DB_PASSWORD is not set"},
		"no catalogue":            {"api", Environment{"CATALOGUE": "/nowhere/catalogue.json"}, "/nowhere/catalogue.json"},
		"a catalogue of nonsense": {"api", Environment{"CATALOGUE": writeFile(t, "c.json", "{")}, "unexpected end of JSON"},
		"an empty catalogue":      {"api", Environment{"CATALOGUE": writeFile(t, "c.json", "{}")}, "no items"},
		"no data folder":          {"db", Environment{"DB_PASSWORD": "secret"}, "DATA is not set"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := Run(t.Context(), tc.tier, tc.env, slog.New(slog.DiscardHandler))
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want ErrConfig with %q", err, tc.want)
			}
		})
	}
}

func TestTheDatabaseKeepsOrdersOverARestart(t *testing.T) {
	dir := t.TempDir()
	first, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := first.add("tea"); err != nil {
			t.Fatal(err)
		}
	}
	second, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := second.orders()
	if err != nil || string(content) != `{"tea":3}` {
		t.Errorf("orders = %s, err = %v, want three of tea", content, err)
	}
}

func TestTheDatabaseEndsWhenItCannotKeepAnOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	base, ended := start(t, "db", Environment{"DATA": dir, "DB_PASSWORD": "secret"})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	withPassword, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	withPassword.User = url.UserPassword("shop", "secret")
	if status, _ := do(t, http.MethodPost, withPassword.String()+"/orders", "tea"); status != http.StatusInsufficientStorage {
		t.Errorf("status = %d, want 507", status)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "writing orders") {
		t.Errorf("err = %v, want one that says that orders cannot be written", err)
	}
}

func TestTheDatabaseRefusesAWrongPassword(t *testing.T) {
	base, _ := start(t, "db", Environment{"DATA": t.TempDir(), "DB_PASSWORD": "secret"})
	if status, _ := do(t, http.MethodGet, base+"/orders", ""); status != http.StatusUnauthorized {
		t.Errorf("status = %d, want 401", status)
	}
}

func TestOnlyChangesOfADependencyAreLogged(t *testing.T) {
	log := newLogged()
	d := &dependency{name: "db", base: "http://db:8080", log: slog.New(slog.NewJSONHandler(log, nil))}
	for _, err := range []error{nil, errors.New("refused"), errors.New("refused"), nil, nil} {
		d.note(err)
	}
	want := []string{"db does not answer", "db answers again"}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("log:\n%s\nwant %d lines", log, len(want))
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %d is %s, want %s", i, line, want[i])
		}
	}
}

func TestReport(t *testing.T) {
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"items":["tea"],"orders":{"tea":2}}`)
	}))
	defer shop.Close()
	tests := map[string]struct {
		status  int
		answer  string
		wantLog string
		wantErr string
	}{
		"what runs is counted": {
			status: http.StatusOK, answer: `{"items":[{"status":{"phase":"Running"}},{"status":{"phase":"Running"}},{"status":{"phase":"Pending"}}]}`,
			wantLog: `"orders":{"tea":2},"pods":{"Pending":1,"Running":2}`,
		},
		"what the API server forbids is said in its words": {
			status: http.StatusForbidden, answer: `{"kind":"Status","message":"pods is forbidden: User \"report\" cannot list"}`,
			wantErr: `counting pods: 403 Forbidden: pods is forbidden: User "report" cannot list`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/v1/namespaces/shop/pods" || r.Header.Get("Authorization") != "Bearer a-token" {
					http.NotFound(w, r)
					return
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.answer)
			}))
			defer api.Close()
			host, port, err := net.SplitHostPort(api.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
			account := t.TempDir()
			for name, content := range map[string]string{"token": "a-token", "namespace": "shop", "ca.crt": string(authority)} {
				if err := os.WriteFile(filepath.Join(account, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			log := newLogged()
			err = Run(t.Context(), "report", Environment{
				"API_URL": shop.URL, "ACCOUNT": account,
				"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port,
			}, slog.New(slog.NewJSONHandler(log, nil)))
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("err = %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), tc.wantLog) {
				t.Errorf("log = %s, want %s in it", log, tc.wantLog)
			}
		})
	}
}

func TestADependencyIsUsedWithoutVisitors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLogged()
		d := &dependency{name: "db", log: slog.New(slog.NewJSONHandler(log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		uses := 0
		go d.heartbeat(ctx, func(context.Context) error {
			uses++
			return errors.New("refused")
		})
		<-time.After(3*heartbeatInterval + time.Second)
		cancel()
		synctest.Wait()
		if uses != 3 {
			t.Errorf("used %d times in three intervals", uses)
		}
		if !strings.Contains(log.String(), "db does not answer") {
			t.Errorf("log = %s", log)
		}
	})
}

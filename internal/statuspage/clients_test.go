package statuspage_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"

	"github.com/maek-dev/maek/internal/kuberhealthy"
)

// exchange is a call of a client: requests as they were on the wire, with the statuses that it was
// answered, and the report that is to be taken in.
type exchange struct {
	requests [][]byte
	statuses []int
	report   []kuberhealthy.Report
}

// TestRecordedClients replays what Kuberhealthy's own clients send; see testdata/clients/README.md.
func TestRecordedClients(t *testing.T) {
	paths, err := filepath.Glob("testdata/clients/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 22 {
		t.Fatalf("found %d exchanges", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			recorded := readExchange(t, path)
			w := newWorld()
			w.pods[netip.MustParseAddr("127.0.0.1")] = "daemonset"
			address := serve(t, w.options())
			for i, request := range recorded.requests {
				w.setDown(recorded.statuses[i] == http.StatusServiceUnavailable)
				if status := send(t, address, request); status != recorded.statuses[i] {
					t.Errorf("answer %d is %d, want %d", i+1, status, recorded.statuses[i])
				}
			}
			if diff := cmp.Diff(recorded.report, w.reports, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
			checkEffect(t, address, strings.HasPrefix(name, "v2-"), recorded.report)
		})
	}
}

// checkEffect looks at the status document of the report's version.
func checkEffect(t *testing.T, address string, v2 bool, reports []kuberhealthy.Report) {
	t.Helper()
	path, check := "/json", "dns"
	if v2 {
		path, check = "/", "kuberhealthy/daemonset"
	}
	var document struct {
		CheckDetails map[string]struct {
			OK     bool
			Errors []string
		}
	}
	if err := json.Unmarshal([]byte(get(t, address, path, "").body), &document); err != nil {
		t.Fatal(err)
	}
	got := document.CheckDetails[check]
	// Before a report, the world's checks are OK.
	want := kuberhealthy.Report{OK: true}
	if len(reports) > 0 {
		want = reports[len(reports)-1]
	}
	if diff := cmp.Diff(want, kuberhealthy.Report(got), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the document's %s (-want +got):\n%s", check, diff)
	}
}

// TestClientsWithoutARunIDNeedCompatibility is about those that are known by their address alone.
func TestClientsWithoutARunIDNeedCompatibility(t *testing.T) {
	for _, name := range []string{"v2-js-success", "v2-python-failure", "v2-npm-success"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.pods[netip.MustParseAddr("127.0.0.1")] = "daemonset"
			recorded := readExchange(t, filepath.Join("testdata/clients", name+".txtar"))
			if status := send(t, serve(t, w.locked()), recorded.requests[0]); status != http.StatusBadRequest {
				t.Errorf("answered %d", status)
			}
			if len(w.reports) > 0 {
				t.Error("the report was taken in")
			}
		})
	}
}

func readExchange(t *testing.T, path string) exchange {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(archive.Comment, []byte("client: ")) {
		t.Fatal("the exchange does not say whose it is")
	}
	var e exchange
	for _, section := range archive.Files {
		data := bytes.TrimSuffix(section.Data, []byte("\n"))
		switch section.Name {
		case "request":
			e.requests = append(e.requests, data)
		case "answer":
			response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
			if err != nil {
				t.Fatalf("reading a recorded answer: %v", err)
			}
			_ = response.Body.Close()
			e.statuses = append(e.statuses, response.StatusCode)
		case "report":
			var report kuberhealthy.Report
			if err := json.Unmarshal(data, &report); err != nil {
				t.Fatalf("reading the report: %v", err)
			}
			e.report = append(e.report, report)
		default:
			t.Fatalf("there is a section %s", section.Name)
		}
	}
	if len(e.requests) == 0 || len(e.requests) != len(e.statuses) {
		t.Fatalf("%d requests and %d answers", len(e.requests), len(e.statuses))
	}
	return e
}

// send writes bytes to a new connection and returns the status of the first answer.
func send(t *testing.T, address string, request []byte) int {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write(request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	defer response.Body.Close()
	if !response.Close {
		t.Error("the connection is kept: version 2's JavaScript client waits for its end")
	}
	return response.StatusCode
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

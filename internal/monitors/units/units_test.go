package units

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// recorded answers as systemd 252 answered on a Debian 12 node.
type recorded struct {
	states     []systemd.UnitStatus
	properties map[string]map[string]any
	changed    map[string]uint64
	gone       error
	// reads counts how often all properties were asked for.
	reads  int
	closed bool
}

func (r *recorded) ByName(context.Context, []string) ([]systemd.UnitStatus, error) {
	return r.states, r.gone
}

func (r *recorded) Failed(context.Context) ([]systemd.UnitStatus, error) {
	var out []systemd.UnitStatus
	for _, s := range r.states {
		if s.ActiveState == "failed" {
			out = append(out, s)
		}
	}
	return out, r.gone
}

func (r *recorded) Changed(_ context.Context, unit string) (uint64, error) {
	return r.changed[unit], nil
}

func (r *recorded) Properties(_ context.Context, unit string) (map[string]any, error) {
	r.reads++
	return r.properties[unit], nil
}

func (r *recorded) Close() { r.closed = true }

const started = 1795288643687451 // 2026-11-21T19:17:23.687451Z

// node is a machine with a kubelet as given, no docker, and a failed unit of no interest to Kubernetes.
func node(active, sub, result string, restarts uint32) *recorded {
	return &recorded{
		states: []systemd.UnitStatus{
			{Name: "kubelet.service", LoadState: "loaded", ActiveState: active, SubState: sub},
			{Name: "docker.service", LoadState: "not-found", ActiveState: "inactive", SubState: "dead"},
			{Name: "logrotate.service", LoadState: "loaded", ActiveState: "failed", SubState: "failed"},
		},
		properties: map[string]map[string]any{
			"kubelet.service": {
				"Description": "kubelet: The Kubernetes Node Agent", "Result": result, "NRestarts": restarts, "ExecMainCode": int32(1), "ExecMainStatus": int32(1),
				"ExecMainStartTimestamp": uint64(started), "MainPID": uint32(0), "Restart": "always", "UnitFileState": "enabled", "NeedDaemonReload": false,
				"MemoryCurrent": ^uint64(0), "Environment": []string{"SECRET=1"},
			},
			"logrotate.service": {"Result": "exit-code"},
		},
		changed: map[string]uint64{"kubelet.service": started, "logrotate.service": started},
	}
}

func watching(r *recorded, now *time.Time, lines ...string) *watcher {
	return &watcher{
		now: func() time.Time { return *now }, connect: func() (manager, error) { return r, nil }, known: map[string]*unit{},
		lastLines: func(context.Context, string, int) ([]string, error) { return lines, nil },
	}
}

func values(t *testing.T, w *watcher, unit string) map[string]string {
	t.Helper()
	evidence, err := w.observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range evidence {
		if s := e.Key.Segments(); s[1] == unit {
			out[strings.Join(s[2:], "/")] = e.Value
		}
	}
	return out
}

func TestACrashLoopIsToldWithItsReason(t *testing.T) {
	now := time.UnixMicro(started).Add(4 * time.Second)
	r := node("activating", "auto-restart", "exit-code", 12)
	w := watching(r, &now, "Started kubelet.service - kubelet.", `E1121 19:40:00.123456    1234 run.go:72] "command failed" err="no such file"`,
		"kubelet.service: Main process exited, code=exited, status=1/FAILURE", "kubelet.service: Failed with result 'exit-code'.")
	want := map[string]string{
		"load-state": "loaded", "active-state": "activating", "sub-state": "auto-restart", "result": "exit-code", "restarts": "12", "restarts-10m": "0",
		"exit-code": "exited", "exit-status": "1", "started": "2026-11-21T19:17:23.687451Z", "restart-policy": "always", "file-state": "enabled", "needs-reload": "false",
		"description": "kubelet: The Kubernetes Node Agent", "last-error": "command failed: no such file",
		"last-line/1": "Started kubelet.service - kubelet.", "last-line/2": `E1121 19:40:00.123456    1234 run.go:72] "command failed" err="no such file"`,
		"last-line/3": "kubelet.service: Main process exited, code=exited, status=1/FAILURE", "last-line/4": "kubelet.service: Failed with result 'exit-code'.",
	}
	if diff := cmp.Diff(want, values(t, w, "kubelet.service")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := values(t, w, "docker.service"); len(got) != 0 {
		t.Errorf("a unit that is not there is told of: %v", got)
	}
	if got := values(t, w, "logrotate.service")["active-state"]; got != "failed" {
		t.Errorf("a failed unit of another kind is %q", got)
	}
}

func TestRestartsAreCountedOverTenMinutes(t *testing.T) {
	now := time.UnixMicro(started)
	r := node("active", "running", "success", 5)
	w := watching(r, &now)
	step := func(after time.Duration, restarts uint32) map[string]string {
		now = now.Add(after)
		if restarts != r.properties["kubelet.service"]["NRestarts"] {
			r.properties["kubelet.service"]["NRestarts"] = restarts
			r.changed["kubelet.service"]++
		}
		return values(t, w, "kubelet.service")
	}
	if got := step(0, 5); got["restarts-10m"] != "0" || got["failing-since"] != "" {
		t.Errorf("at first: %v", got)
	}
	began := now.Add(time.Minute).UTC().Format(time.RFC3339Nano)
	step(time.Minute, 6)
	if got := step(time.Minute, 9); got["restarts-10m"] != "4" || got["failing-since"] != began {
		t.Errorf("in a loop: %v, want 4 restarts since %s", got, began)
	}
	if got := step(5*time.Minute, 9); got["restarts-10m"] != "4" {
		t.Errorf("some minutes later: %v", got)
	}
	if got := step(20*time.Minute, 9); got["restarts-10m"] != "0" || got["failing-since"] != "" {
		t.Errorf("long after: %v", got)
	}
	if got := step(time.Minute, 0); got["restarts-10m"] != "0" {
		t.Errorf("after a start by hand: %v", got)
	}
}

func TestPropertiesAreReadOnlyWhereSomethingChanged(t *testing.T) {
	now := time.UnixMicro(started)
	r := node("active", "running", "success", 0)
	w := watching(r, &now)
	values(t, w, "kubelet.service")
	first := r.reads
	now = now.Add(30 * time.Second)
	values(t, w, "kubelet.service")
	if r.reads != first {
		t.Errorf("nothing changed, and properties were read %d times more", r.reads-first)
	}
	r.changed["kubelet.service"]++
	values(t, w, "kubelet.service")
	if r.reads != first+1 {
		t.Errorf("one unit changed, and properties were read %d times more", r.reads-first)
	}
	now = now.Add(refresh)
	values(t, w, "kubelet.service")
	if r.reads == first+1 {
		t.Error("after a while nothing was read anew: whether a unit is enabled changes silently")
	}
}

func TestABusThatWasRestartedIsAskedAnew(t *testing.T) {
	now := time.UnixMicro(started)
	old, fresh := node("active", "running", "success", 0), node("active", "running", "success", 0)
	w := watching(old, &now)
	values(t, w, "kubelet.service")
	old.gone = errors.New("dbus: connection closed by user")
	w.connect = func() (manager, error) { return fresh, nil }
	if got := values(t, w, "kubelet.service")["active-state"]; got != "active" || !old.closed {
		t.Errorf("over a new connection: %q, old one closed: %v", got, old.closed)
	}
	fresh.gone = errors.New("dbus: connection closed by user")
	w.connect = func() (manager, error) { return nil, errNoBus }
	if _, err := w.observe(t.Context()); !errors.Is(err, errNoBus) {
		t.Errorf("without a bus: %v", err)
	}
}

func TestAMachineThatSomethingElseRunsHasNoUnits(t *testing.T) {
	host := monitor.Host{Root: t.TempDir(), Now: func() time.Time { return time.UnixMicro(started) }}
	if err := os.MkdirAll(filepath.Join(host.Root, "proc", "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(host.Root, "proc", "1", "comm"), []byte("init\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := New(host, nil)
	if evidence, err := m.Observe(t.Context()); err != nil || len(evidence) > 0 {
		t.Errorf("observing: %v, %v", evidence, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Watch(ctx, func() {}); err != nil {
		t.Errorf("watching: %v", err)
	}
}

func TestASilentSystemdIsAGap(t *testing.T) {
	host := monitor.Host{Root: t.TempDir(), Now: func() time.Time { return time.UnixMicro(started) }}
	m := New(host, nil)
	if _, err := m.Observe(t.Context()); !errors.Is(err, errNoBus) {
		t.Errorf("observing: %v", err)
	}
	if err := m.Watch(t.Context(), func() {}); !errors.Is(err, errNoBus) {
		t.Errorf("watching: %v", err)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	now := time.UnixMicro(started)
	w := watching(node("failed", "failed", "exit-code", 3), &now, "a line")
	evidence, err := w.observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range evidence {
		documented := false
		for _, k := range keys {
			documented = documented || e.Key.Fits(k.Pattern)
		}
		if !documented {
			t.Errorf("key %s is not documented", e.Key)
		}
		if e.Key == snapshot.KeyOf("unit", "kubelet.service", "active-state") && e.At == nil {
			t.Error("since when it is so is not told")
		}
	}
}

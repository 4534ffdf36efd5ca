package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// fakeBus is a systemd with one unit.
type fakeBus struct {
	states   []unitState
	result   string
	err      error
	restarts int
}

func (b *fakeBus) State(context.Context, string) (unitState, error) {
	state := b.states[0]
	if len(b.states) > 1 {
		b.states = b.states[1:]
	}
	return state, nil
}

func (b *fakeBus) Restart(context.Context, string) (string, error) {
	b.restarts++
	return b.result, b.err
}

func (*fakeBus) Close() {}

var (
	active = unitState{Load: "loaded", Active: "active", Sub: "running", Result: "success"}
	failed = unitState{Load: "loaded", Active: "failed", Sub: "failed", Result: "exit-code"}
)

// unit is the unit that the tests are about, as a subject.
func unit(name string) finding.Subject {
	return finding.Subject{Kind: "Unit", Name: name, Machine: "w1"}
}

// with makes a diagnosis of machine w1 with one incident.
func with(root finding.Finding, chain ...finding.Link) diagnosis.Diagnosis {
	d := healthy()
	d.Incidents = []finding.Incident{{Root: root, Chain: chain}}
	return d
}

func healthy() diagnosis.Diagnosis {
	return diagnosis.Diagnosis{Snapshot: snapshot.NewBuilder(moment, snapshot.Source{Name: "w1", Machine: "w1"}).Build()}
}

func TestRepair(t *testing.T) {
	stopped := finding.Finding{
		Code: "KubeletUnitStopped", Subject: unit("kubelet.service"), Mechanism: v1alpha1.MechanismStopped, Title: finding.Verbatim("kubelet on w1 is stopped"),
	}
	broken := finding.Finding{
		Code: "KubeletCannotStart", Subject: unit("kubelet.service"), Mechanism: v1alpha1.MechanismMisconfigured,
		Title: finding.Verbatim("kubelet on w1 cannot start"), Why: finding.Verbatim("line 41 is no YAML"),
		Remedies: finding.Remedies{Now: []finding.Remedy{{Text: finding.Verbatim("mend line 41"), Command: "vi /var/lib/kubelet/config.yaml", Machine: "w1"}}},
	}
	full := finding.Finding{
		Code: "FilesystemFull", Subject: finding.Subject{Kind: "Path", Name: "/var", Machine: "w1"}, Mechanism: v1alpha1.MechanismExhausted, Title: finding.Verbatim("/var on w1 is full"),
	}
	tests := map[string]struct {
		bus          fakeBus
		diagnosis    diagnosis.Diagnosis
		yes, force   bool
		ago          time.Duration
		want         []string
		wantCode     exit.Code
		wantError    string
		wantRestarts int
	}{
		"without --yes it says what it would do": {
			bus: fakeBus{states: []unitState{active}}, diagnosis: healthy(),
			want: []string{"kubelet.service on w1: active (running)", "nothing is known to be wrong with it", "do it: kubectl-maek machine --repair kubelet --yes"},
		},
		"what was stopped is restarted": {
			bus: fakeBus{states: []unitState{failed, active}, result: "done"}, diagnosis: with(stopped), yes: true,
			want: []string{"KubeletUnitStopped: kubelet on w1 is stopped", "restarted: it is active (running)", "no Event could be left"}, wantRestarts: 1,
		},
		"what is set up wrong is not restarted, and the remedy named": {
			bus: fakeBus{states: []unitState{failed}}, diagnosis: with(broken), yes: true,
			want: []string{"not restarted", "kubelet on w1 cannot start", "KubeletCannotStart", "line 41 is no YAML", "w1$ vi /var/lib/kubelet/config.yaml    mend line 41"}, wantCode: exit.Incidents,
		},
		"nor is what suffers from something else on the machine": {
			bus: fakeBus{states: []unitState{failed}}, diagnosis: with(full, finding.Link{Subject: unit("kubelet.service")}), yes: true,
			want: []string{"not restarted", "FilesystemFull"}, wantCode: exit.Incidents,
		},
		"another unit's incident is no matter": {
			bus: fakeBus{states: []unitState{active}, result: "done"}, yes: true,
			diagnosis: with(finding.Finding{Code: "UnitFailed", Subject: unit("etcd.service"), Mechanism: v1alpha1.MechanismMisconfigured}),
			want:      []string{"restarted: it is active (running)"}, wantRestarts: 1,
		},
		"a unit that does not come up is said to be down": {
			bus: fakeBus{states: []unitState{failed, failed}, result: "failed"}, diagnosis: healthy(), yes: true,
			want: []string{"restarted, and it does not run: it is failed (exit-code)", "journalctl -u kubelet.service"}, wantCode: exit.Incidents, wantRestarts: 1,
		},
		"what was restarted a moment ago is not again": {
			bus: fakeBus{states: []unitState{active}}, diagnosis: healthy(), yes: true, ago: time.Minute,
			wantCode: exit.Incidents, wantError: "that was done 1m0s ago",
		},
		"unless it must be": {
			bus: fakeBus{states: []unitState{active}, result: "done"}, diagnosis: healthy(), yes: true, force: true, ago: time.Minute,
			want: []string{"restarted: it is active"}, wantRestarts: 1,
		},
		"or it was long ago": {
			bus: fakeBus{states: []unitState{active}, result: "done"}, diagnosis: healthy(), yes: true, ago: time.Hour,
			want: []string{"restarted: it is active"}, wantRestarts: 1,
		},
		"a unit that is not there is a mistake": {
			bus: fakeBus{states: []unitState{{Load: "not-found", Active: "inactive"}}}, diagnosis: healthy(), yes: true, wantCode: exit.Usage, wantError: "there is no kubelet.service on this machine",
		},
		"a masked one cannot be started": {
			bus: fakeBus{states: []unitState{{Load: "masked", Active: "inactive"}}}, diagnosis: healthy(), yes: true, wantCode: exit.Usage, wantError: "masked",
		},
		"systemd may refuse": {
			bus: fakeBus{states: []unitState{active}, err: errors.New("access denied")}, diagnosis: healthy(), yes: true,
			wantCode: exit.Failed, wantError: "restarting kubelet.service: access denied", wantRestarts: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			now := moment
			inv := &invocation.Invocation{
				Out: &out, Program: "kubectl-maek", Now: func() time.Time { return now },
				After: func(d time.Duration) <-chan time.Time {
					now = now.Add(d)
					c := make(chan time.Time, 1)
					c <- now
					return c
				},
			}
			r := repairer{
				inv: inv, bus: &tc.bus, lang: finding.English, unit: "kubelet.service", node: "w1",
				brake: filepath.Join(t.TempDir(), "maek", "repairs.json"), yes: tc.yes, force: tc.force,
			}
			if tc.ago > 0 {
				now = moment.Add(-tc.ago)
				if err := r.remember(); err != nil {
					t.Fatal(err)
				}
				now = moment
			}
			err := r.run(t.Context(), tc.diagnosis)
			if code := exit.CodeOf(err); code != tc.wantCode {
				t.Errorf("exit code %d, want %d: %v", code, tc.wantCode, err)
			}
			if tc.wantError != "" && (err == nil || !strings.Contains(err.Error(), tc.wantError)) {
				t.Errorf("error %v, want %q", err, tc.wantError)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out.String())
				}
			}
			if tc.bus.restarts != tc.wantRestarts {
				t.Errorf("restarted %d times, want %d", tc.bus.restarts, tc.wantRestarts)
			}
			if last := r.last(); tc.wantRestarts > 0 && last.Before(moment) {
				t.Errorf("the restart is not remembered: %s", last)
			}
		})
	}
}

func TestAnEventIsLeft(t *testing.T) {
	var got corev1.Event
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/default/events" || json.NewDecoder(r.Body).Decode(&got) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	r := repairer{inv: &invocation.Invocation{Now: func() time.Time { return moment }}, node: "w1", cluster: &rest.Config{Host: server.URL}}
	if err := r.leaveEvent(t.Context(), "kubelet.service was restarted", true); err != nil {
		t.Fatal(err)
	}
	if got.InvolvedObject.Kind != "Node" || got.InvolvedObject.Name != "w1" || got.Reason != "UnitRestarted" || got.Message != "kubelet.service was restarted" || got.Type != "Normal" {
		t.Errorf("the event: %+v", got)
	}
}

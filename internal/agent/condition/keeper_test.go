package condition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/rules"
	"github.com/maek-dev/maek/internal/snapshot"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

type memory map[string][]byte

func (m memory) Load(name string) ([]byte, error) {
	if data, ok := m[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Save(name string, data []byte) error {
	m[name] = data
	return nil
}

// server takes what is written, unless it is down.
type server struct {
	down    bool
	tries   int
	patches [][]corev1.NodeCondition
	removed [][]corev1.NodeConditionType
	events  []*corev1.Event
}

func (s *server) RemoveConditions(_ context.Context, types []corev1.NodeConditionType) error {
	s.tries++
	if s.down {
		return errors.New("connection refused")
	}
	s.removed = append(s.removed, types)
	return nil
}

func (s *server) PatchConditions(_ context.Context, conditions []corev1.NodeCondition) error {
	s.tries++
	if s.down {
		return errors.New("connection refused")
	}
	s.patches = append(s.patches, conditions)
	return nil
}

func (s *server) CreateEvent(_ context.Context, e *corev1.Event) error {
	s.tries++
	if s.down {
		return errors.New("connection refused")
	}
	s.events = append(s.events, e)
	return nil
}

// machine is one whose findings a test sets.
type machine struct {
	clock    *testingclock.FakePassiveClock
	findings []finding.Finding
	// blind monitors could not look.
	blind []string
	store memory
	api   *server
	// withdraw is how the next keeper is started.
	withdraw bool
	*Keeper
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{clock: testingclock.NewFakePassiveClock(noon), store: memory{}, api: &server{}}
	m.restart(t)
	return m
}

func (m *machine) restart(t *testing.T) {
	t.Helper()
	k, err := New(Options{
		Node: "w1", UID: func() string { return "uid" }, Diagnose: m.diagnose, Writer: m.api, Withdraw: m.withdraw, Store: m.store,
		Now: m.clock.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Keeper = k
}

func (m *machine) diagnose(ctx context.Context) diagnosis.Diagnosis {
	report := snapshot.MachineReport{Node: "w1", Machine: "w1", ObservedAt: metav1.NewTime(m.clock.Now())}
	for _, k := range kinds {
		for _, name := range k.monitors {
			report.Reads = append(report.Reads, snapshot.MonitorRead{Monitor: name, At: report.ObservedAt})
		}
	}
	for _, name := range m.blind {
		report.Gaps = append(report.Gaps, snapshot.MachineGap{Monitor: name, Reason: "no bus"})
	}
	b := snapshot.NewBuilder(m.clock.Now(), snapshot.Source{Name: "w1", Machine: "w1"})
	b.AddMachine(report)
	var found []rule.Rule
	for _, f := range m.findings {
		found = append(found, rule.Rule{Code: f.Code, Severity: f.Severity, Detect: func(p *rule.Pass) { p.Report(f) }})
	}
	return diagnosis.Diagnose(rule.Evaluate(ctx, b.Build(), found, nil, rule.DefaultBudget), found)
}

// pass lets time pass in steps as the keeper takes them.
func (m *machine) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := m.clock.Now().Add(d); m.clock.Now().Before(end); {
		m.clock.SetTime(m.clock.Now().Add(every))
		m.Step(t.Context())
	}
}

func kubeletDown(mechanism finding.Mechanism) finding.Finding {
	return finding.Finding{
		Code: "UnitDown", Severity: finding.Critical, Mechanism: mechanism, Since: noon.Add(-time.Minute),
		Subject: finding.Subject{Kind: "Unit", Name: "kubelet.service", Machine: "w1"},
		Title:   finding.Text{EN: "kubelet.service is not running", KO: "kubelet.service가 실행되지 않습니다"},
		Why:     finding.Text{EN: "systemd says inactive", KO: "systemd 상태가 inactive입니다"},
	}
}

// last is a condition as it was last written.
func (s *server) last(kind corev1.NodeConditionType) string {
	for _, patch := range slices.Backward(s.patches) {
		for _, c := range patch {
			if c.Type == kind {
				return fmt.Sprintf("%s %s %s", c.Status, c.Reason, c.LastTransitionTime.UTC().Format(time.TimeOnly))
			}
		}
	}
	return ""
}

func (s *server) reasons() (out []string) {
	for _, e := range s.events {
		out = append(out, e.Type+" "+e.Reason+": "+e.Message)
	}
	return out
}

func TestWritesOnChangeOnly(t *testing.T) {
	m := newMachine(t)
	m.pass(t, heartbeat-time.Minute)
	if len(m.api.patches) != 1 || m.api.tries != 1 {
		t.Fatalf("%d patches of %d tries while nothing changed, want 1", len(m.api.patches), m.api.tries)
	}
	m.pass(t, 2*time.Minute)
	if len(m.api.patches) != 2 {
		t.Errorf("%d patches after a heartbeat, want 2", len(m.api.patches))
	}
	began := m.clock.Now()
	m.findings = []finding.Finding{kubeletDown(v1alpha1.MechanismStopped)}
	m.pass(t, every)
	if got, want := m.api.last("KubeletUnhealthy"), "True UnitDown 11:59:00"; got != want {
		t.Errorf("%v after it stopped: %q, want %q", m.clock.Since(began), got, want)
	}
	if got := m.api.last("FrequentKubeletRestart"); !strings.HasPrefix(got, "False NoFrequentKubeletRestart") {
		t.Errorf("a unit that is stopped is no unit that restarts: %q", got)
	}
	m.pass(t, 5*time.Minute)
	if len(m.api.patches) != 3 {
		t.Errorf("%d patches while it stays so, want 3", len(m.api.patches))
	}
	want := []string{"Warning UnitDown: kubelet.service is not running. systemd says inactive"}
	if diff := cmp.Diff(want, m.api.reasons()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	e := m.api.events[0]
	if e.InvolvedObject.Kind != "Node" || e.InvolvedObject.Name != "w1" || e.InvolvedObject.UID != "uid" || e.Namespace != "default" {
		t.Errorf("the event is about %+v in %s", e.InvolvedObject, e.Namespace)
	}
	m.findings = nil
	m.pass(t, clearAfter-every)
	if !strings.HasPrefix(m.api.last("KubeletUnhealthy"), "True") {
		t.Error("it is taken back at once")
	}
	m.pass(t, 2*every)
	if got := m.api.last("KubeletUnhealthy"); !strings.HasPrefix(got, "False KubeletIsHealthy") {
		t.Errorf("after it is well again: %q", got)
	}
	if got := m.api.reasons(); len(got) != 2 || got[1] != "Normal UnitDown: no longer so: kubelet.service is not running" {
		t.Errorf("events %q", got)
	}
	if n := m.Problems().Counts["UnitDown"]; n != 2 {
		t.Errorf("counted %d times, want 2: as a condition and as an incident", n)
	}
}

func TestAUnitThatCrashesIsBoth(t *testing.T) {
	m := newMachine(t)
	m.findings = []finding.Finding{kubeletDown(v1alpha1.MechanismCrashing)}
	m.pass(t, every)
	for kind, want := range map[corev1.NodeConditionType]string{
		"KubeletUnhealthy": "True UnitDown", "FrequentKubeletRestart": "True FrequentKubeletRestart",
		"FrequentDockerRestart": "False", "ContainerRuntimeUnhealthy": "False", "ReadonlyFilesystem": "False",
	} {
		if got := m.api.last(kind); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", kind, got, want)
		}
	}
}

func TestFlappingMeetsTheBrake(t *testing.T) {
	m := newMachine(t)
	for n := range 720 {
		m.findings = nil
		if n%2 == 0 {
			f := kubeletDown(v1alpha1.MechanismStopped)
			f.Title.EN = fmt.Sprintf("kubelet.service is not running (%d)", n)
			m.findings = []finding.Finding{f}
		}
		m.pass(t, every)
	}
	if most := int(time.Hour / brake); len(m.api.patches) > most {
		t.Errorf("%d patches in an hour, want at most %d", len(m.api.patches), most)
	}
	if len(m.api.events) != 1 {
		t.Errorf("%d events for one that comes and goes, want 1", len(m.api.events))
	}
}

func TestWhatNobodySawIsUnknown(t *testing.T) {
	m := newMachine(t)
	m.blind = []string{"units"}
	m.pass(t, every)
	if got := m.api.last("KubeletUnhealthy"); got != "" {
		t.Errorf("told though nobody ever looked: %q", got)
	}
	m.blind = nil
	m.findings = []finding.Finding{kubeletDown(v1alpha1.MechanismStopped)}
	m.pass(t, 2*brake)
	m.blind, m.findings = []string{"units"}, nil
	m.pass(t, 2*clearAfter)
	if got := m.api.last("KubeletUnhealthy"); !strings.HasPrefix(got, "Unknown NotChecked") {
		t.Errorf("a gap cleared it or left it: %q", got)
	}
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	m := newMachine(t)
	m.pass(t, every)
	m.api.down, m.api.tries = true, 0
	m.findings = []finding.Finding{kubeletDown(v1alpha1.MechanismStopped)}
	m.pass(t, time.Hour)
	if most := 60; m.api.tries > most || m.api.tries < 10 {
		t.Errorf("%d tries in an hour without an API server, want 10 to %d", m.api.tries, most)
	}
	m.restart(t)
	m.api.down = false
	m.pass(t, 6*time.Minute)
	if got, want := m.api.last("KubeletUnhealthy"), "True UnitDown 11:59:00"; got != want {
		t.Errorf("after the API server came back: %q, want %q", got, want)
	}
	if len(m.api.events) != 1 {
		t.Errorf("%d events, want the one that waited", len(m.api.events))
	}
	m.restart(t)
	m.pass(t, time.Minute)
	if len(m.api.events) != 1 {
		t.Errorf("%d events after a restart: it is told twice", len(m.api.events))
	}
}

func TestConditionsThatAreNotWantedAnyMoreAreTakenBack(t *testing.T) {
	m := newMachine(t)
	m.withdraw = true
	m.restart(t)
	m.findings = []finding.Finding{kubeletDown(v1alpha1.MechanismStopped)}
	m.pass(t, time.Hour)
	if m.api.tries != 0 {
		t.Fatalf("%d requests of an agent that never was to write", m.api.tries)
	}
	m.withdraw = false
	m.restart(t)
	m.pass(t, time.Minute)
	if got := m.api.last("KubeletUnhealthy"); !strings.HasPrefix(got, "True UnitDown") {
		t.Fatalf("the condition is %q", got)
	}
	patches, events := len(m.api.patches), len(m.api.events)
	m.withdraw, m.api.down = true, true
	m.restart(t)
	m.pass(t, time.Minute)
	m.restart(t)
	m.api.down = false
	m.pass(t, time.Hour)
	if len(m.api.removed) != 1 || len(m.api.removed[0]) != len(Types()) || len(m.api.patches) != patches || len(m.api.events) != events {
		t.Errorf("%v was taken back, and %d patches and %d events written; want all once, and none", m.api.removed, len(m.api.patches)-patches, len(m.api.events)-events)
	}
	m.withdraw = false
	m.restart(t)
	m.pass(t, time.Minute)
	if len(m.api.patches) == patches {
		t.Error("conditions that are wanted again are not written")
	}
}

func TestEventsThatWaitAreBounded(t *testing.T) {
	q := newQueue(nil, func() time.Time { return noon })
	for n := range 10 * waiting {
		q.add(corev1.Event{Message: strconv.Itoa(n)})
	}
	if n := len(q.list()); n != waiting {
		t.Fatalf("%d events wait, want %d", n, waiting)
	}
	if e, ok := q.next(); !ok || e.Message != strconv.Itoa(9*waiting) {
		t.Errorf("the oldest that is kept is %q, %v", e.Message, ok)
	}
	got := 1
	for _, ok := q.next(); ok; _, ok = q.next() {
		got++
	}
	if got != eventsAtOnce {
		t.Errorf("%d events at one moment, want %d", got, eventsAtOnce)
	}
}

// TestTheRulesExist holds the conditions to rules that there are.
func TestTheRulesExist(t *testing.T) {
	known := map[finding.Code]bool{}
	for _, r := range rules.All() {
		known[r.Code] = true
	}
	for _, code := range codes {
		if !known[code] {
			t.Errorf("no rule has the code %s", code)
		}
	}
}

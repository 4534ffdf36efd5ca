package lifecycle

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var began = time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)

var podKind = snapshot.KindOf[*corev1.Pod]()

var testRules = []rule.Rule{{Code: "PodSick", Needs: []rule.Need{rule.Optional[*corev1.Pod]()}}, {Code: "DiskFull", Machine: []snapshot.EvidenceKey{"disk/*"}}}

// play drives a book through diagnoses and keeps what it would have written.
type play struct {
	t      *testing.T
	book   *Book
	stored map[string]v1alpha1.Incident
	// writes counts steps, and told are the notices, in order.
	writes int
	told   []Reason
}

func newPlay(t *testing.T, o Options) *play {
	t.Helper()
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	if o.Most == 0 {
		o.Most = 500
	}
	return &play{t: t, book: New(testRules, o), stored: map[string]v1alpha1.Incident{}}
}

// lead makes another leader of the book, who knows only what is stored.
func (p *play) lead() {
	old := p.book
	p.book = New(testRules, old.options)
	p.load()
}

func (p *play) load() {
	var all []v1alpha1.Incident
	for _, i := range p.stored {
		all = append(all, i)
	}
	p.book.Load(all)
}

type look struct {
	incidents []finding.Incident
	coverage  snapshot.State
	skips     []finding.Skip
	failures  []finding.Failure
	settling  []finding.Finding
	silent    map[string]string
}

// see takes in a diagnosis made some time after the beginning, and does what follows.
func (p *play) see(after time.Duration, l look) {
	p.t.Helper()
	b := snapshot.NewBuilder(began.Add(after), snapshot.Source{})
	if l.coverage == "" {
		l.coverage = snapshot.Complete
	}
	b.SetCoverage(podKind, snapshot.Coverage{State: l.coverage, Reason: "it says so"})
	for node, reason := range l.silent {
		b.AddUnreported(node, reason)
	}
	d := diagnosis.Diagnosis{Snapshot: b.Build(), Incidents: l.incidents, Skips: l.skips, Failures: l.failures}
	for _, f := range l.settling {
		d.Findings = append(d.Findings, diagnosis.Placed{Finding: f})
	}
	p.book.Take(d)
	for _, s := range p.book.Steps() {
		p.writes++
		if s.Delete {
			delete(p.stored, s.Name)
			p.book.Wrote(s, nil)
			continue
		}
		object := v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Name: s.Name}, Status: s.Status}
		p.stored[s.Name] = object
		for _, n := range s.Notices {
			p.told = append(p.told, n.Reason)
		}
		p.book.Wrote(s, &object)
	}
	if again := p.book.Steps(); len(again) > 0 {
		p.t.Errorf("after all steps there is still %+v", again)
	}
}

func sick(pod string, change ...func(*finding.Incident)) finding.Incident {
	f := finding.Finding{
		Code: "PodSick", Severity: finding.Warning, Subject: finding.Subject{Kind: "Pod", Namespace: "shop", Name: pod}, Mechanism: v1alpha1.MechanismCrashing,
		Title: finding.Textf("pod %s is sick", "Pod %s: 아픕니다", pod), Why: finding.Textf("It restarted %d times.", "%d번 다시 시작했습니다.", 3),
	}
	i := finding.Incident{ID: finding.IncidentID(f), Root: f, Severity: f.Severity}
	for _, c := range change {
		c(&i)
	}
	return i
}

func (p *play) only() v1alpha1.IncidentStatus {
	p.t.Helper()
	if len(p.stored) != 1 {
		p.t.Fatalf("%d objects are stored", len(p.stored))
	}
	for _, i := range p.stored {
		return i.Status
	}
	panic("unreachable")
}

func TestAnIncidentIsOpenedOnceAndClosedAfterItLingered(t *testing.T) {
	p := newPlay(t, Options{})
	p.see(0, look{incidents: []finding.Incident{sick("a")}})
	p.see(time.Second, look{incidents: []finding.Incident{sick("a")}})
	if s := p.only(); s.Phase != v1alpha1.IncidentOpen || !s.OpenedAt.Time.Equal(began) || p.writes != 1 {
		t.Fatalf("after two diagnoses %d writes and %+v", p.writes, s)
	}
	p.see(2*time.Second, look{})
	p.see(3*time.Second, look{})
	if s := p.only(); s.Phase != v1alpha1.IncidentOpen || !p.book.Lingering() {
		t.Fatalf("closed before it lingered: %+v", s)
	}
	p.see(8*time.Second, look{})
	if s := p.only(); s.Phase != v1alpha1.IncidentClosed || s.ClosedAt == nil || !s.ClosedAt.Time.Equal(began.Add(8*time.Second)) {
		t.Fatalf("not closed: %+v", s)
	}
	if diff := cmp.Diff([]Reason{Opened, Closed}, p.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestWhenAnIncidentIsNotClosed(t *testing.T) {
	t.Parallel()
	onMachine := func(i *finding.Incident) {
		i.Root.Code, i.Root.Subject = "DiskFull", finding.Subject{Kind: "File", Name: "/var", Machine: "w1"}
		i.ID = finding.IncidentID(i.Root)
	}
	tests := map[string]struct {
		incident finding.Incident
		look     look
		want     string
	}{
		"its kind could not be read":        {sick("a"), look{coverage: snapshot.Failed}, "pods: failed: it says so"},
		"its rule was skipped":              {sick("a"), look{skips: []finding.Skip{{Code: "PodSick", Reason: finding.Verbatim("pods: forbidden")}}}, "pods: forbidden"},
		"its rule broke":                    {sick("a"), look{failures: []finding.Failure{{Code: "PodSick", Err: errors.New("index out of range")}}}, "its rule failed"},
		"it began anew a moment ago":        {sick("a"), look{settling: []finding.Finding{{Code: "PodSick", Subject: sick("a").Root.Subject, Settling: true}}}, "it began anew a short while ago"},
		"nobody tells of its machine":       {sick("a", onMachine), look{silent: map[string]string{"w1": "no agent runs there"}}, "machine w1: no report of an agent: no agent runs there"},
		"no agent is heard of any machine":  {sick("a", onMachine), look{}, "machine w1: no agent was heard"},
		"a kind it may need was always out": {sick("a"), look{coverage: snapshot.Forbidden}, ""},
		"another rule was skipped":          {sick("a"), look{skips: []finding.Skip{{Code: "Other"}}}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, Options{})
			p.see(0, look{incidents: []finding.Incident{tc.incident}})
			for i := range 10 {
				p.see(time.Duration(i+1)*10*time.Second, tc.look)
			}
			s := p.only()
			wantPhase := v1alpha1.IncidentOpen
			if tc.want == "" {
				wantPhase = v1alpha1.IncidentClosed
			}
			if s.Phase != wantPhase || s.Unverified != tc.want || p.writes != 2 {
				t.Errorf("it is %s, unverified %q, after %d writes; want %s, %q, after 2", s.Phase, s.Unverified, p.writes, wantPhase, tc.want)
			}
			if tc.want == "" {
				return
			}
			p.see(time.Hour, look{incidents: []finding.Incident{tc.incident}})
			if s := p.only(); s.Unverified != "" || s.Phase != v1alpha1.IncidentOpen || !s.OpenedAt.Time.Equal(began) {
				t.Errorf("seen again it is %+v", s)
			}
		})
	}
}

func TestAnIncidentThatComesBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		after  time.Duration
		opened time.Time
		told   Reason
	}{
		"soon is the same": {10 * time.Minute, began, Reopened},
		"late is another":  {time.Hour, began.Add(time.Hour), Opened},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, Options{})
			p.see(0, look{incidents: []finding.Incident{sick("a")}})
			p.see(time.Minute, look{})
			p.see(2*time.Minute, look{})
			p.see(tc.after, look{incidents: []finding.Incident{sick("a")}})
			s := p.only()
			if s.Phase != v1alpha1.IncidentOpen || s.ClosedAt != nil || !s.OpenedAt.Time.Equal(tc.opened) {
				t.Errorf("it is %+v", s)
			}
			if diff := cmp.Diff([]Reason{Opened, Closed, tc.told}, p.told); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyAChangeOfMeaningIsWritten(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*finding.Incident)
		after  time.Duration
		want   int
	}{
		"a count goes up":                  {func(i *finding.Incident) { i.Root.Why = finding.Textf("It restarted %d times.", "%d", 41) }, time.Minute, 1},
		"a count goes up for long":         {func(i *finding.Incident) { i.Root.Why = finding.Textf("It restarted %d times.", "%d", 41) }, Refresh, 2},
		"evidence is seen anew":            {func(i *finding.Incident) { i.Root.Evidence = []finding.Evidence{{Source: "x", Value: "12s old"}} }, time.Minute, 1},
		"another suffers":                  {func(i *finding.Incident) { i.Affected = map[string][]string{"Service": {"shop/api"}} }, time.Minute, 2},
		"another suffers, and just before": {func(i *finding.Incident) { i.Affected = map[string][]string{"Service": {"shop/api"}} }, time.Second, 1},
		"it grows worse":                   {func(i *finding.Incident) { i.Severity = finding.Critical }, time.Second, 2},
		"the cause is told otherwise":      {func(i *finding.Incident) { i.Root.Why = finding.Verbatim("It is out of memory.") }, time.Minute, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, Options{})
			p.see(0, look{incidents: []finding.Incident{sick("a")}})
			p.see(tc.after, look{incidents: []finding.Incident{sick("a", tc.change)}})
			if p.writes != tc.want {
				t.Errorf("%d writes, want %d", p.writes, tc.want)
			}
		})
	}
}

func TestANewLeaderGoesOnWhereTheOldOneStopped(t *testing.T) {
	p := newPlay(t, Options{})
	p.see(0, look{incidents: []finding.Incident{sick("a"), sick("b")}})
	p.lead()
	p.see(time.Minute, look{incidents: []finding.Incident{sick("a")}})
	p.see(2*time.Minute, look{incidents: []finding.Incident{sick("a")}})
	if p.writes != 3 {
		t.Errorf("%d writes, want two to open and one to close", p.writes)
	}
	if diff := cmp.Diff([]Reason{Opened, Opened, Closed}, p.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestALeaderThatLearnsLateWhatIsStoredJoinsIt(t *testing.T) {
	p := newPlay(t, Options{})
	p.see(0, look{incidents: []finding.Incident{sick("a")}})
	late := New(testRules, p.book.options)
	b := snapshot.NewBuilder(began.Add(time.Minute), snapshot.Source{})
	late.Take(diagnosis.Diagnosis{Snapshot: b.Build(), Incidents: []finding.Incident{sick("a")}})
	p.book = late
	p.load()
	p.see(2*time.Minute, look{incidents: []finding.Incident{sick("a")}})
	if s := p.only(); !s.OpenedAt.Time.Equal(began) {
		t.Errorf("it was opened at %s, and not by the new leader", s.OpenedAt)
	}
	if diff := cmp.Diff([]Reason{Opened}, p.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestWhatIsDeletedByHandIsMadeAgainWhileItGoesOn(t *testing.T) {
	p := newPlay(t, Options{})
	p.see(0, look{incidents: []finding.Incident{sick("a"), sick("b")}})
	p.see(time.Minute, look{incidents: []finding.Incident{sick("a")}})
	p.see(2*time.Minute, look{incidents: []finding.Incident{sick("a")}})
	clear(p.stored)
	p.load()
	p.see(3*time.Minute, look{incidents: []finding.Incident{sick("a")}})
	if s := p.only(); s.Subject.Name != "a" || !s.OpenedAt.Time.Equal(began) {
		t.Errorf("there is %+v", s)
	}
}

func TestOldIncidentsGo(t *testing.T) {
	p := newPlay(t, Options{TTL: time.Hour})
	p.see(0, look{incidents: []finding.Incident{sick("a")}})
	p.see(time.Minute, look{})
	p.see(2*time.Minute, look{})
	p.see(61*time.Minute, look{})
	p.only()
	p.see(63*time.Minute, look{})
	if len(p.stored) != 0 {
		t.Errorf("there is still %+v", p.stored)
	}
}

func TestAFloodIsBounded(t *testing.T) {
	p := newPlay(t, Options{Most: 20})
	for round := range 3 {
		var all []finding.Incident
		for i := range 10_000 {
			all = append(all, sick(fmt.Sprintf("pod-%d-%d", round, i)))
		}
		for again := range 3 {
			p.see(time.Duration(round)*time.Hour+time.Duration(again)*time.Minute, look{incidents: all})
		}
		open := 0
		for _, i := range p.stored {
			if i.Status.Phase == v1alpha1.IncidentOpen {
				open++
			}
		}
		if open != 20 || len(p.stored) > 40 || p.book.Unwritten() != 9980 {
			t.Fatalf("%d of %d objects are open, %d unwritten", open, len(p.stored), p.book.Unwritten())
		}
	}
	if p.writes > 200 {
		t.Errorf("%d writes", p.writes)
	}
}

func TestNamesAreValid(t *testing.T) {
	if got := Name("KubeletStopped", "0123456789ab"); got != "kubeletstopped-0123456789ab" || strings.ToLower(got) != got {
		t.Errorf("the name is %s", got)
	}
}

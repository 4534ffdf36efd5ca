package lifecycle

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// leader is one of several that lead at the same moment, which must not last.
type leader struct {
	*Book

	writes int
	told   []Reason
}

func newLeader() *leader {
	return &leader{Book: New(testRules, Options{TTL: time.Hour, Most: 500})}
}

func (l *leader) take(after time.Duration, incidents ...finding.Incident) {
	b := snapshot.NewBuilder(began.Add(after), snapshot.Source{})
	b.SetCoverage(podKind, snapshot.Coverage{State: snapshot.Complete})
	l.Take(diagnosis.Diagnosis{Snapshot: b.Build(), Incidents: incidents})
}

// write does one step, or learns that another did something since.
func (l *leader) write(there map[string]*v1alpha1.Incident) {
	for _, s := range l.Steps() {
		if now := there[s.Name]; now != s.Stored {
			l.Store(s.Name, now)
			continue
		}
		l.writes++
		if s.Delete {
			delete(there, s.Name)
			l.Wrote(s, nil)
			continue
		}
		there[s.Name] = &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Name: s.Name}, Status: s.Status}
		for _, n := range s.Notices {
			l.told = append(l.told, n.Reason)
		}
		l.Wrote(s, there[s.Name])
	}
}

func TestTwoLeadersAtOnceTellEverythingOnce(t *testing.T) {
	there := map[string]*v1alpha1.Incident{}
	one, two := newLeader(), newLeader()
	both := func(after time.Duration, incidents ...finding.Incident) {
		one.take(after, incidents...)
		two.take(after+time.Second, incidents...)
		for range 3 {
			one.write(there)
			two.write(there)
		}
	}
	both(0, sick("a"))
	both(time.Minute, sick("a"))
	both(2 * time.Minute)
	both(3 * time.Minute)
	both(4*time.Minute, sick("a"))
	if want := []Reason{Opened, Closed, Reopened}; len(one.told)+len(two.told) != len(want) || one.writes+two.writes != len(want) {
		t.Errorf("one told %v in %d writes, the other %v in %d; want %v together", one.told, one.writes, two.told, two.writes, want)
	}
	for name, i := range there {
		if i.Status.Phase != v1alpha1.IncidentOpen || !i.Status.OpenedAt.Time.Equal(began) {
			t.Errorf("%s is %s, opened at %s", name, i.Status.Phase, i.Status.OpenedAt)
		}
	}
}

func TestWhatAnotherLeaderJustMadeIsNotDeleted(t *testing.T) {
	name := Name("PodSick", sick("a").ID)
	two := newLeader()
	// It is seen before its status is written.
	two.Load([]v1alpha1.Incident{{ObjectMeta: metav1.ObjectMeta{Name: name}}})
	two.take(0)
	if s := two.Steps(); len(s) != 1 || !s[0].Delete {
		t.Fatalf("steps are %+v", s)
	}
	i := sick("a")
	there := map[string]*v1alpha1.Incident{name: {
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     v1alpha1.IncidentStatus{IncidentDetails: Bound(i.Details(finding.English)), Phase: v1alpha1.IncidentOpen, OpenedAt: metav1.NewTime(began)},
	}}
	two.write(there)
	two.take(time.Second, i)
	two.write(there)
	if two.writes > 0 || there[name] == nil {
		t.Errorf("%d writes, and there is %+v", two.writes, there)
	}
}

func TestAFloodThatGetsGraverIsBounded(t *testing.T) {
	p := newPlay(t, Options{Most: 20})
	var all []finding.Incident
	for round := range 10 {
		var graver []finding.Incident
		for i := range 20 {
			graver = append(graver, sick(fmt.Sprintf("pod-%d-%d", round, i)))
		}
		all = append(graver, all...)
		p.see(time.Duration(round)*time.Minute, look{incidents: all})
		if len(p.stored) > 40 || p.book.Unwritten() != len(all)-len(p.stored) {
			t.Fatalf("after %d incidents %d are stored, %d unwritten", len(all), len(p.stored), p.book.Unwritten())
		}
	}
}

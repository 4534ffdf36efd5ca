package faults

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Environment is where a scenario runs. What can be told apart differs between them, so the truth
// does too.
type Environment string

// The environments.
const (
	// Lab is the real multi-node cluster, diagnosed from outside and by its API server alone.
	Lab Environment = "lab"
	// Agents is the same cluster, diagnosed from outside with the reports of its agents.
	Agents Environment = "agents"
	// Machine is the same cluster as one of its machines sees it (kubectl-maek machine).
	Machine Environment = "machine"
	// ControlPlane is a real control plane with nodes that are code.
	ControlPlane Environment = "controlplane"
)

// Scenario is one way in which a cluster fails, or only looks as if it did.
type Scenario struct {
	// Name is the scenario's folder.
	Name string `json:"-"`
	// Dir holds its scripts.
	Dir string `json:"-"`
	// Script for a control plane; nil where the truth has none.
	Script *Script `json:"-"`
	// Title says what is done to the cluster.
	Title string `json:"title"`
	// Truth per environment.
	Truth map[Environment]Truth `json:"truth"`
	// ArmWithin is how long the fault may take to be live. The default is DefaultArmWithin.
	ArmWithin metav1.Duration `json:"armWithin,omitzero"`
	// TellWithin is how long Maek may take, from then on, to tell the truth. The default is
	// DefaultTellWithin.
	TellWithin metav1.Duration `json:"tellWithin,omitzero"`
	// ControlPlanes is how many control-plane machines a lab must have to play it; the default is one.
	ControlPlanes int `json:"controlPlanes,omitempty"`
	// Watch is how long a negative control is looked at; any incident in that time fails it.
	Watch metav1.Duration `json:"watch,omitzero"`
}

// Defaults of a scenario's times.
const (
	DefaultArmWithin  = 2 * time.Minute
	DefaultTellWithin = 5 * time.Minute
)

// onLab are the environments that look at one real cluster, each in its own way. What is done to the
// cluster is the same for all of them, so it is done once.
var onLab = []Environment{Agents, Machine, Lab}

// Truth is what there is to be said about a fault.
type Truth struct {
	// From is the machine that looks, in the environment Machine.
	From string `json:"from,omitempty"`
	// Roots are all root causes, each of which must be an incident, and no others. None means that
	// the cluster is healthy, whatever it looks like.
	Roots []Root `json:"roots"`
	// Verdict that must be given; any when empty.
	Verdict v1alpha1.Verdict `json:"verdict,omitempty"`
	// Affected names, "Kind namespace/name", some of what the incidents must say suffers.
	Affected []string `json:"affected,omitempty"`
	// AffectedAtLeast is how many of each kind the incidents must say suffer, where their names are
	// drawn anew in each run.
	AffectedAtLeast map[string]int `json:"affectedAtLeast,omitempty"`
}

// Root is one true root cause.
type Root struct {
	// Code that names it.
	Code string `json:"code"`
	// Subjects are the names under which it is right: the first is the best.
	Subjects []v1alpha1.Subject `json:"subjects"`
	// Mechanism by which it fails.
	Mechanism v1alpha1.Mechanism `json:"mechanism"`
}

// Load reads every scenario below a folder, sorted by name. Variables such as ${WORKER} in a truth
// are replaced by expand.
func Load(dir string, expand func(string) string) ([]Scenario, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "truth.yaml"))
	if err != nil {
		return nil, fmt.Errorf("looking for scenarios: %w", err)
	}
	var scenarios []Scenario
	for _, path := range paths {
		s, err := Read(filepath.Dir(path), expand)
		if err != nil {
			return nil, err
		}
		scenarios = append(scenarios, s)
	}
	return scenarios, nil
}

// Read reads the scenario of a folder.
func Read(dir string, expand func(string) string) (Scenario, error) {
	data, err := os.ReadFile(filepath.Join(dir, "truth.yaml"))
	if err != nil {
		return Scenario{}, fmt.Errorf("reading a scenario: %w", err)
	}
	s := Scenario{Dir: dir, Name: filepath.Base(dir)}
	if err := yaml.UnmarshalStrict([]byte(expandNames(string(data), expand)), &s); err != nil {
		return Scenario{}, fmt.Errorf("reading the truth of %s: %w", s.Name, err)
	}
	s.ArmWithin.Duration = cmp.Or(s.ArmWithin.Duration, DefaultArmWithin)
	s.TellWithin.Duration = cmp.Or(s.TellWithin.Duration, DefaultTellWithin)
	if _, ok := s.Truth[ControlPlane]; ok {
		if s.Script, err = readScript(dir, expand); err != nil {
			return Scenario{}, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	if err := s.validate(); err != nil {
		return Scenario{}, fmt.Errorf("%s: %w", s.Name, err)
	}
	return s, nil
}

func (s Scenario) validate() error {
	if s.Title == "" || len(s.Truth) == 0 {
		return errors.New("it needs a title and a truth")
	}
	for env, truth := range s.Truth {
		if env != ControlPlane && !slices.Contains(onLab, env) {
			return fmt.Errorf("there is no environment %q, only %q and %q", env, ControlPlane, onLab)
		}
		if (env == Machine) != (truth.From != "") {
			return fmt.Errorf("the environment %q, and only that, says on which machine it looks", Machine)
		}
		if len(truth.Roots) == 0 && s.Watch.Duration == 0 {
			return errors.New("a truth without roots is a negative control: say how long to watch it")
		}
		for _, r := range truth.Roots {
			if r.Code == "" || len(r.Subjects) == 0 || r.Mechanism == "" {
				return errors.New("a root needs a code, subjects and a mechanism")
			}
		}
	}
	if !s.playedOnLab() {
		return nil
	}
	for _, script := range []string{"inject", "armed", "restore"} {
		if _, err := os.Stat(filepath.Join(s.Dir, script)); err != nil {
			return fmt.Errorf("it has no script %s", script)
		}
	}
	return nil
}

// playedOnLab tells whether any environment of the lab has a truth.
func (s Scenario) playedOnLab() bool {
	return slices.ContainsFunc(onLab, func(env Environment) bool {
		_, ok := s.Truth[env]
		return ok
	})
}

// Score is how well one diagnosis tells a truth.
type Score struct {
	// Detected: there is an incident at all, as there should be.
	Detected bool
	// RootFirst: the first incident's subject and mechanism are the truth's.
	RootFirst bool
	// ExactSet: every root is an incident, and no other is.
	ExactSet bool
	// AffectedFound is the share, 0 to 1, of what must be named as affected that is.
	AffectedFound float64
	// Noise is the number of incidents for each true root; 0 for a right answer to a negative
	// control.
	Noise float64
	// FalseAllClear: it says healthy while the fault is live. Nothing is worse.
	FalseAllClear bool
	// Missing lists what is not as it should be, in words.
	Missing []string
}

// Right tells whether nothing is missing.
func (s Score) Right() bool { return len(s.Missing) == 0 }

// Judge holds a diagnosis against a truth.
func (t Truth) Judge(d v1alpha1.Diagnosis) Score {
	score := Score{
		Detected:      len(d.Incidents) > 0 == (len(t.Roots) > 0),
		FalseAllClear: d.Verdict == v1alpha1.VerdictHealthy && len(t.Roots) > 0,
		Noise:         float64(len(d.Incidents)) / float64(max(len(t.Roots), 1)),
		AffectedFound: 1,
	}
	matched := make([]bool, len(d.Incidents))
	for _, r := range t.Roots {
		i := slices.IndexFunc(d.Incidents, r.is)
		if i < 0 {
			score.Missing = append(score.Missing, fmt.Sprintf("no incident %s (%s) about %v", r.Code, r.Mechanism, r.Subjects))
			continue
		}
		matched[i] = true
	}
	for i, incident := range d.Incidents {
		if !matched[i] {
			score.Missing = append(score.Missing, fmt.Sprintf("an incident too many: %s (%s) %v: %s", incident.Code, incident.Mechanism, incident.Subject, incident.Title))
		}
	}
	score.ExactSet = len(score.Missing) == 0
	if t.Verdict != "" && d.Verdict != t.Verdict {
		score.Missing = append(score.Missing, fmt.Sprintf("it says %s, not %s", d.Verdict, t.Verdict))
	}
	score.RootFirst = len(t.Roots) == 0 && len(d.Incidents) == 0 || len(d.Incidents) > 0 && matched[0]
	found := 0
	for _, name := range t.Affected {
		if isAffected(d, name) {
			found++
			continue
		}
		score.Missing = append(score.Missing, "not named as affected: "+name)
	}
	for _, kind := range slices.Sorted(maps.Keys(t.AffectedAtLeast)) {
		least, n := t.AffectedAtLeast[kind], 0
		for _, i := range d.Incidents {
			n += len(i.Affected[kind])
		}
		found += min(n, least)
		if n < least {
			score.Missing = append(score.Missing, fmt.Sprintf("only %d affected of kind %s, not %d", n, kind, least))
		}
	}
	if expected := t.expected(); expected > 0 {
		score.AffectedFound = float64(found) / float64(expected)
	}
	return score
}

// expected is how much must be named as affected.
func (t Truth) expected() int {
	n := len(t.Affected)
	for _, least := range t.AffectedAtLeast {
		n += least
	}
	return n
}

func (r Root) is(i v1alpha1.IncidentDetails) bool {
	return i.Code == r.Code && i.Mechanism == r.Mechanism && slices.Contains(r.Subjects, i.Subject)
}

func isAffected(d v1alpha1.Diagnosis, name string) bool {
	for _, i := range d.Incidents {
		for kind, names := range i.Affected {
			for _, n := range names {
				if kind+" "+n == name {
					return true
				}
			}
		}
	}
	return false
}

package faults

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

var (
	labBinary  = flag.String("lab", "", "the lab's binary; a lab with two workers and the application must be up")
	maekBinary = flag.String("maek", "", "the kubectl-maek to be held against the truth")
	only       = flag.String("scenario", "", "run only this scenario")
	assets     = flag.String("assets", "", "the folder with the programs of a control plane")
	worlds     = flag.Int("worlds", 4, "how many control planes live at a time")
	seed       = flag.Uint64("seed", uint64(time.Now().UnixNano()), "what the names of this run are drawn from")
	record     = flag.String("record", "", "a folder to keep a bundle of every fault in, as NAME/bundle.tar.gz")
)

// The times of a run that no scenario sets.
const (
	// greenWithin is how long a lab may take to be healthy again, and greenAgainWithin a control plane of
	// which there can be a new one.
	greenWithin      = 8 * time.Minute
	greenAgainWithin = 4 * time.Minute
	diagnoseEvery    = 5 * time.Second
	greenEvery       = 2 * time.Second
	scriptAtMost     = 3 * time.Minute
	diagnoseAtMost   = time.Minute
	// recordAfter lets a fault age before it is recorded, so that a rule which becomes more patient
	// still tells of it.
	recordAfter = 2 * time.Minute
)

// partly is the exit code of a dump that could not read everything, which is as good a recording.
const partly = 2

// bench is what scenarios are run on.
type bench struct {
	t       *testing.T
	environ []string
	// maek is the kubectl-maek that is held against the truth.
	maek string
	// agents tells whether agents run on the lab.
	agents bool
	// controlPlanes is how many control-plane machines the lab has.
	controlPlanes int
	// names that were drawn, for those who read a recording.
	names map[string]string
}

func TestOnTheLab(t *testing.T) {
	if *labBinary == "" || *maekBinary == "" {
		t.Skip("needs a lab: make test-faults brings one up and runs this")
	}
	b := newBench(t)
	scenarios, err := Load(".", b.variable)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		if !chosen(s.Name) || !s.playedOnLab() {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			if s.ControlPlanes > b.controlPlanes {
				t.Skipf("needs a lab with %d control planes: lab up --control-planes %[1]d", s.ControlPlanes)
			}
			own := *b
			own.t = t
			own.run(s)
		})
	}
}

// chosen tells whether a scenario is to be run: -scenario may name several, with commas.
func chosen(name string) bool {
	if *only == "" {
		return true
	}
	for one := range strings.SplitSeq(*only, ",") {
		if one == name {
			return true
		}
	}
	return false
}

// newBench draws the names of this run and asks the lab for its environment.
func newBench(t *testing.T) *bench {
	t.Helper()
	lab, err := filepath.Abs(*labBinary)
	if err != nil {
		t.Fatal(err)
	}
	maek, err := filepath.Abs(*maekBinary)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, maek: maek, environ: append(os.Environ(), "LAB="+lab, "MAEK="+maek)}
	out, err := exec.CommandContext(t.Context(), lab, "env").Output()
	if err != nil {
		t.Fatalf("asking the lab for its environment: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if assignment, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			b.environ = append(b.environ, os.Expand(strings.ReplaceAll(assignment, `"`, ""), os.Getenv))
		}
	}
	var workers []string
	for name := range strings.FieldsSeq(b.shell("kubectl get nodes -l '!node-role.kubernetes.io/control-plane' -o name")) {
		workers = append(workers, strings.TrimPrefix(name, "node/"))
	}
	if len(workers) < 2 {
		t.Fatal("the lab has fewer than two workers: lab up --workers 2")
	}
	b.controlPlanes = len(strings.Fields(b.shell("kubectl get nodes -l node-role.kubernetes.io/control-plane -o name")))
	rand.New(rand.NewPCG(*seed, 0)).Shuffle(len(workers), func(i, j int) { workers[i], workers[j] = workers[j], workers[i] })
	b.names = map[string]string{"WORKER": workers[0], "OTHER": workers[1], "CONTROL_PLANE": "cp1"}
	for name, value := range b.names {
		b.environ = append(b.environ, name+"="+value)
	}
	t.Logf("seed %d: names %v", *seed, b.names)
	b.agents = b.command(t.Context(), "kubectl", "-n", "maek-system", "rollout", "status", "daemonset/maek-agent", "--timeout=60s").Run() == nil
	if !b.agents {
		t.Log("NOT RUN: no agents run on the lab (make lab-agents): what they make of the faults is not judged")
	}
	return b
}

func (b *bench) variable(name string) string {
	value := "${" + name + "}"
	for _, pair := range b.environ {
		if k, v, _ := strings.Cut(pair, "="); k == name {
			value = v
		}
	}
	return value
}

// run takes the cluster from green through the fault and back to green.
func (b *bench) run(s Scenario) {
	b.t.Helper()
	looks := b.looks(s)
	if len(looks) == 0 {
		b.t.Skip("only agents could tell, and none run on the lab")
	}
	b.green("before")
	b.t.Cleanup(func() {
		b.script(context.WithoutCancel(b.t.Context()), s, "restore")
		b.green("after")
	})
	b.script(b.t.Context(), s, "inject")
	began := time.Now()
	if err := b.poll(s.ArmWithin.Duration, time.Second, func(ctx context.Context) bool {
		return b.scriptCommand(ctx, s, "armed").Run() == nil
	}); err != nil {
		b.t.Fatalf("void: the fault is not live %s after it was injected", time.Since(began).Round(time.Second))
	}
	b.t.Logf("armed after %s", time.Since(began).Round(time.Second))
	if s.Watch.Duration > 0 {
		b.watch(s, looks)
		return
	}
	b.tell(s, looks)
}

// tell waits until Maek tells the truth, from wherever it looks.
func (b *bench) tell(s Scenario, looks []*look) {
	armed := time.Now()
	err := b.poll(s.TellWithin.Duration, diagnoseEvery, func(ctx context.Context) bool {
		done := *record == "" || time.Since(armed) > recordAfter
		for _, l := range looks {
			done = b.look(ctx, l, armed) && done
		}
		return done
	})
	for _, l := range looks {
		b.keep(s, l)
		if !l.score.Right() || l.told == 0 {
			b.t.Errorf("%s: not told after %s: %s\n%s", l.env, time.Since(armed).Round(time.Second), strings.Join(l.score.Missing, "; "), b.printed(l))
			continue
		}
		b.t.Logf("%s: told after %s (said healthy %d times before); root first %t, noise %.1f, affected found %.0f %%",
			l.env, l.told.Round(time.Second), l.falseAllClears, l.score.RootFirst, l.score.Noise, 100*l.score.AffectedFound)
		if !l.score.RootFirst {
			b.t.Errorf("%s: the root is not the first incident", l.env)
		}
	}
	if err != nil && !b.t.Failed() {
		b.t.Fatalf("the truth did not stay told: %v", err)
	}
}

// watch looks at a negative control again and again: any incident is a false alarm.
func (b *bench) watch(s Scenario, looks []*look) {
	times := 0
	var wrong *look
	err := b.poll(s.Watch.Duration, diagnoseEvery, func(ctx context.Context) bool {
		times++
		for _, l := range looks {
			if d := b.diagnose(ctx, l); d.Verdict != "" && !l.truth.Judge(d).Right() {
				wrong = l
			}
		}
		return wrong != nil
	})
	if err == nil {
		b.t.Fatalf("%s: a false alarm at look %d:\n%s", wrong.env, times, b.printed(wrong))
	}
	b.t.Logf("looked %d times in %s: no incident", times, s.Watch.Duration)
}

// green waits until the cluster is healthy, in the eyes that see most of it.
func (b *bench) green(when string) {
	b.t.Helper()
	env := Lab
	if b.agents {
		env = Agents
	}
	if err := b.isGreen(env); err != nil {
		b.t.Fatalf("not green %s: %v", when, err)
	}
}

// isGreen waits until Maek calls the cluster healthy.
func (b *bench) isGreen(env Environment) error {
	l, last := &look{env: env}, v1alpha1.Verdict("")
	within := greenWithin
	if env == ControlPlane {
		within = greenAgainWithin
	}
	err := b.poll(within, greenEvery, func(ctx context.Context) bool {
		last = b.diagnose(ctx, l).Verdict
		return last == v1alpha1.VerdictHealthy
	})
	if err != nil {
		return fmt.Errorf("it is %s:\n%s", last, b.printed(l))
	}
	return nil
}

func (b *bench) poll(within, every time.Duration, done func(context.Context) bool) error {
	ctx := context.WithoutCancel(b.t.Context())
	return wait.PollUntilContextTimeout(ctx, every, within, true, func(ctx context.Context) (bool, error) { return done(ctx), nil })
}

func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = b.environ
	return cmd
}

func (b *bench) shell(line string) string {
	b.t.Helper()
	out, err := b.command(b.t.Context(), "bash", "-c", line).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

func (b *bench) script(ctx context.Context, s Scenario, name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, scriptAtMost)
	defer cancel()
	if out, err := b.scriptCommand(ctx, s, name).CombinedOutput(); err != nil {
		b.t.Fatalf("%s %s: %v\n%s", s.Name, name, err, out)
	}
}

// scriptCommand runs a script in its scenario's folder, so that one scenario can use another's.
func (b *bench) scriptCommand(ctx context.Context, s Scenario, name string) *exec.Cmd {
	cmd := b.command(ctx, "./"+name)
	cmd.Dir = s.Dir
	return cmd
}

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	"sigs.k8s.io/yaml"

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
	greenWithin    = 8 * time.Minute
	diagnoseEvery  = 5 * time.Second
	scriptAtMost   = 3 * time.Minute
	diagnoseAtMost = time.Minute
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
	// recorded says how a recording that is made here comes about.
	recorded Recorded
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
		if *only != "" && s.Name != *only {
			continue
		}
		truth, ok := s.Truth[Lab]
		if !ok {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			(&bench{t: t, environ: b.environ, recorded: Recorded{Environment: Lab, Names: b.drawn()}}).run(s, truth)
		})
	}
}

// newBench draws the names of this run and asks the lab for its environment.
func newBench(t *testing.T) *bench {
	t.Helper()
	lab, err := filepath.Abs(*labBinary)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, environ: append(os.Environ(), "LAB="+lab)}
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
	if len(workers) == 0 {
		t.Fatal("the lab has no workers: lab up --workers 2")
	}
	worker := workers[rand.New(rand.NewPCG(*seed, 0)).IntN(len(workers))]
	b.environ = append(b.environ, "WORKER="+worker, "CONTROL_PLANE=cp1")
	t.Logf("seed %d: WORKER=%s", *seed, worker)
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
func (b *bench) run(s Scenario, truth Truth) {
	b.t.Helper()
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
	if len(truth.Roots) == 0 {
		b.watch(s, truth)
		return
	}
	b.tell(s, truth)
}

// tell waits until Maek tells the truth.
func (b *bench) tell(s Scenario, truth Truth) {
	armed, told, falseAllClears := time.Now(), time.Duration(0), 0
	var score Score
	err := b.poll(s.TellWithin.Duration, diagnoseEvery, func(ctx context.Context) bool {
		d := b.diagnose(ctx)
		if d.Verdict == "" {
			return false // the time is up
		}
		score = truth.Judge(d)
		if score.FalseAllClear {
			falseAllClears++
		}
		if told == 0 && score.Right() {
			told = time.Since(armed)
		}
		return score.Right() && (*record == "" || time.Since(armed) > recordAfter)
	})
	b.keep(s)
	if err != nil {
		b.t.Fatalf("not told after %s: %s\n%s", time.Since(armed).Round(time.Second), strings.Join(score.Missing, "; "), b.printed())
	}
	b.t.Logf("told after %s (said healthy %d times before); root first %t, noise %.1f, affected found %.0f %%",
		told.Round(time.Second), falseAllClears, score.RootFirst, score.Noise, 100*score.AffectedFound)
	if !score.RootFirst {
		b.t.Errorf("the root is not the first incident")
	}
}

// watch looks at a negative control again and again: any incident is a false alarm.
func (b *bench) watch(s Scenario, truth Truth) {
	looks := 0
	err := b.poll(s.Watch.Duration, diagnoseEvery, func(ctx context.Context) bool {
		looks++
		d := b.diagnose(ctx)
		return d.Verdict != "" && !truth.Judge(d).Right()
	})
	if err == nil {
		b.t.Fatalf("a false alarm at look %d:\n%s", looks, b.printed())
	}
	b.t.Logf("looked %d times in %s: no incident", looks, s.Watch.Duration)
}

// green waits until the cluster is healthy.
func (b *bench) green(when string) {
	b.t.Helper()
	var last v1alpha1.Diagnosis
	if err := b.poll(greenWithin, diagnoseEvery, func(ctx context.Context) bool {
		last = b.diagnose(ctx)
		return last.Verdict == v1alpha1.VerdictHealthy
	}); err != nil {
		b.t.Fatalf("the cluster is %s, not Healthy, %s:\n%s", last.Verdict, when, b.printed())
	}
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

// diagnose asks Maek. Its exit code says what it found; only output that is no diagnosis is an error.
func (b *bench) diagnose(ctx context.Context) v1alpha1.Diagnosis {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, diagnoseAtMost)
	defer cancel()
	cmd := b.command(ctx, *maekBinary, "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return v1alpha1.Diagnosis{} // the time is up
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		b.t.Fatalf("running %s: %v", *maekBinary, err)
	}
	var d v1alpha1.Diagnosis
	if err := json.Unmarshal(out, &d); err != nil {
		b.t.Logf("no diagnosis: %v: %s%s", err, out, stderr.String())
		return v1alpha1.Diagnosis{}
	}
	return d
}

func (b *bench) printed() string {
	out, err := b.command(context.WithoutCancel(b.t.Context()), *maekBinary).CombinedOutput()
	return fmt.Sprintf("%s(%v)", out, err)
}

// keep records the fault as a bundle, from which it can be diagnosed ever after.
func (b *bench) keep(s Scenario) {
	if *record == "" {
		return
	}
	to := filepath.Join(*record, s.Name, "bundle.tar.gz")
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.command(context.WithoutCancel(b.t.Context()), *maekBinary, "dump", "-o", to).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != partly) {
		b.t.Errorf("recording %s: %v\n%s", to, err, out)
		return
	}
	remember(b.t, s, b.recorded)
}

// drawn are the names with which the lab's scenarios are played.
func (b *bench) drawn() map[string]string {
	names := map[string]string{}
	for _, name := range labNames {
		names[name] = b.variable(name)
	}
	return names
}

// labNames are the names that scenarios of the lab know.
var labNames = []string{"CONTROL_PLANE", "WORKER"}

// remember writes down how a scenario was recorded, beside its bundle.
func remember(t *testing.T, s Scenario, r Recorded) {
	t.Helper()
	data, err := yaml.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*record, s.Name, "recorded.yaml"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

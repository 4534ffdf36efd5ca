package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// onMachine is where kubectl-maek lies on a machine that looks for itself.
const onMachine = "/root/kubectl-maek"

// look is one way to look at the lab, and what came of it so far.
type look struct {
	env   Environment
	truth Truth
	// told is how long after the fault was live the truth was told first; 0 while it was not.
	told           time.Duration
	score          Score
	falseAllClears int
}

// looks are the ways to look at a scenario that its truths name and that this lab offers.
func (b *bench) looks(s Scenario) []*look {
	b.t.Helper()
	var out []*look
	for _, env := range onLab {
		truth, ok := s.Truth[env]
		if !ok || env == Agents && !b.agents {
			continue
		}
		if env == Machine {
			b.shell(fmt.Sprintf(`"$LAB" exec %s -- sh -c 'cat > %s && chmod 755 %[2]s' < %q`, truth.From, onMachine, b.maek))
		}
		out = append(out, &look{env: env, truth: truth})
	}
	return out
}

// look looks once, and says whether the truth was told.
func (b *bench) look(ctx context.Context, l *look, armed time.Time) bool {
	b.t.Helper()
	d := b.diagnose(ctx, l)
	if d.Verdict == "" {
		return false // the time is up
	}
	l.score = l.truth.Judge(d)
	if l.score.FalseAllClear {
		l.falseAllClears++
	}
	if l.told == 0 && l.score.Right() {
		l.told = time.Since(armed)
	}
	return l.score.Right()
}

// asked is the command that looks.
func (b *bench) asked(ctx context.Context, l *look, args ...string) *exec.Cmd {
	switch l.env {
	case Machine:
		return b.command(ctx, b.variable("LAB"), append([]string{"exec", l.truth.From, "--", onMachine, "machine"}, args...)...)
	case Lab:
		return b.command(ctx, b.maek, append(args, "--no-agents")...)
	default:
		return b.command(ctx, b.maek, args...)
	}
}

// diagnose asks Maek. Its exit code says what it found; only output that is no diagnosis is an error.
func (b *bench) diagnose(ctx context.Context, l *look) v1alpha1.Diagnosis {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, diagnoseAtMost)
	defer cancel()
	cmd := b.asked(ctx, l, "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return v1alpha1.Diagnosis{} // the time is up
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		b.t.Fatalf("running %s: %v", cmd, err)
	}
	var d v1alpha1.Diagnosis
	if err := json.Unmarshal(out, &d); err != nil {
		b.t.Logf("no diagnosis: %v: %s%s", err, out, stderr.String())
		return v1alpha1.Diagnosis{}
	}
	return d
}

func (b *bench) printed(l *look) string {
	out, err := b.asked(context.WithoutCancel(b.t.Context()), l).CombinedOutput()
	return fmt.Sprintf("%s(%v)", out, err)
}

// keep records the fault as a bundle, from which it can be diagnosed ever after. What one machine sees
// of itself is no bundle.
func (b *bench) keep(s Scenario, l *look) {
	if *record == "" || l.env == Machine {
		return
	}
	folder := s.Name
	if l.env == Agents {
		folder += ".agents"
	}
	to := filepath.Join(*record, folder, "bundle.tar.gz")
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.asked(context.WithoutCancel(b.t.Context()), l, "dump", "-o", to).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() != partly) {
		b.t.Errorf("recording %s: %v\n%s", to, err, out)
		return
	}
	remember(b.t, folder, Recorded{Environment: l.env, Names: b.names})
}

// remember writes down how a scenario was recorded, beside its bundle.
func remember(t *testing.T, folder string, r Recorded) {
	t.Helper()
	data, err := yaml.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*record, folder, "recorded.yaml"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

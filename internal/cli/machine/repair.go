package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/cli/invocation"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/report"
)

const (
	// repairBrake is how soon a unit is not restarted again: whom a restart did not heal it will not heal
	// the next minute.
	repairBrake = 10 * time.Minute
	// settleTime is how long a restarted unit is watched: one that cannot start has mostly ended by then.
	settleTime = 6 * time.Second
	// settleStep is between two looks at it.
	settleStep = 500 * time.Millisecond
	// restartTime bounds the restart itself. systemd gives a unit 90 s to start and as much to stop.
	restartTime = 3 * time.Minute
)

// unitState is a unit as systemd has it.
type unitState struct {
	// Load, Active and Sub are systemd's words; Result is how it last ended.
	Load, Active, Sub, Result string
}

func (s unitState) String() string {
	if s.Sub == "" || s.Sub == s.Active {
		return s.Active
	}
	return s.Active + " (" + s.Sub + ")"
}

// bus is what is asked of systemd.
type bus interface {
	// State of a unit; Load is "not-found" where there is none.
	State(ctx context.Context, unit string) (unitState, error)
	// Restart restarts a unit and waits for the job; its result is "done" where it went well.
	Restart(ctx context.Context, unit string) (result string, err error)
	// Close ends the connection.
	Close()
}

// repairer restarts one unit.
type repairer struct {
	inv  *invocation.Invocation
	bus  bus
	lang finding.Language
	// options of what is printed.
	options report.Options
	// unit with its ending, and node on whose machine it is.
	unit, node string
	// brake is the file that remembers restarts.
	brake string
	// cluster tells where Events go; nil where the API server does not answer or is not known.
	cluster *rest.Config
	// yes restarts, force does so again and again.
	yes, force bool
}

// repair restarts the unit that the flags name.
func (o *Options) repair(ctx context.Context, inv *invocation.Invocation) error {
	l, err := o.look(ctx, inv, false)
	if err != nil {
		return err
	}
	reading := o.judge(ctx, l)
	b, err := connect(ctx, o.Root)
	if err != nil {
		return &exit.Error{Code: exit.Failed, Err: fmt.Errorf("asking systemd: %w; run it as root on the machine itself", err)}
	}
	defer b.Close()
	r := repairer{
		inv: inv, bus: b, lang: inv.Language(*o.Output.Display), options: inv.Report(*o.Output.Display),
		unit: unitName(o.Repair) + ".service", node: l.id.Node, brake: filepath.Join(o.Root, monitor.StatePath, "repairs.json"),
		yes: o.Yes, force: o.Force,
	}
	if cfg := configHere(o.Root); cfg != nil {
		if seen := ask(ctx, cfg); seen != nil && seen.Answers {
			r.cluster = cfg
		}
	}
	return r.run(ctx, diagnosis.Diagnose(reading.Result, o.Rules))
}

func (r *repairer) run(ctx context.Context, d diagnosis.Diagnosis) error {
	state, err := r.bus.State(ctx, r.unit)
	switch {
	case err != nil:
		return &exit.Error{Code: exit.Failed, Err: fmt.Errorf("asking systemd for %s: %w", r.unit, err)}
	case state.Load == "not-found":
		return exit.Misused("there is no %s on this machine", r.unit)
	case state.Load == "masked":
		return exit.Misused("%s is masked, so systemd will not start it; see who masked it, then: systemctl unmask %s", r.unit, r.unit)
	}
	r.say("%s on %s: %s\n", r.unit, r.node, state)
	known := concerning(d, r.unit)
	if i := slices.IndexFunc(known, func(i finding.Incident) bool { return !heals(i) }); i >= 0 {
		return r.refuse(known[i])
	}
	if len(known) == 0 {
		r.tell("nothing is known to be wrong with it\n", "알려진 문제는 없습니다\n")
	}
	for _, i := range known {
		r.say("%s: %s\n", i.Root.Code, report.Clean(i.Root.Title.In(r.lang)))
	}
	if last := r.last(); !last.IsZero() && !r.force {
		if ago := r.inv.Now().Sub(last); ago >= 0 && ago < repairBrake {
			return &exit.Error{Code: exit.Incidents, Err: fmt.Errorf(
				"not restarted: that was done %s ago and did not help for long; find the cause first (%s machine), or add --force", ago.Round(time.Second), r.inv.Program)}
		}
	}
	if !r.yes {
		r.tell("it would be restarted, as systemctl restart %s does; %s\ndo it: %s machine --repair %s --yes\n",
			"systemctl restart %s처럼 재시작하게 됩니다. %s\n실행하려면: %s machine --repair %s --yes\n",
			r.unit, effects[unitName(r.unit)].In(r.lang), r.inv.Program, unitName(r.unit))
		return nil
	}
	return r.restart(ctx)
}

// effects are what a restart does to what runs.
var effects = map[string]finding.Text{
	"kubelet":    {EN: "containers go on running", KO: "컨테이너는 계속 실행됩니다"},
	"containerd": {EN: "containers go on running, and none can be started meanwhile", KO: "컨테이너는 계속 실행되지만 그동안 새로 시작할 수 없습니다"},
	"docker":     {EN: "containers end with it, unless daemon.json says live-restore", KO: "daemon.json에 live-restore가 없으면 컨테이너도 함께 종료됩니다"},
	"crio":       {EN: "containers go on running, and none can be started meanwhile", KO: "컨테이너는 계속 실행되지만 그동안 새로 시작할 수 없습니다"},
	"flanneld":   {EN: "packets go on as the kernel has learned it", KO: "패킷은 kernel에 설정된 대로 계속 전달됩니다"},
	"kube-proxy": {EN: "Services go on as the kernel has learned them", KO: "Service는 kernel에 설정된 대로 계속 동작합니다"},
}

// concerning are the incidents in which a unit of the machine suffers, or is to blame.
func concerning(d diagnosis.Diagnosis, unit string) []finding.Incident {
	about := func(s finding.Subject) bool {
		return s.Kind == "Unit" && s.Name == unit && s.Machine == d.Snapshot.Source().Machine
	}
	var out []finding.Incident
	for _, i := range d.Incidents {
		if about(i.Root.Subject) || slices.ContainsFunc(i.Root.Explains, about) ||
			slices.ContainsFunc(i.Chain, func(l finding.Link) bool { return about(l.Subject) }) {
			out = append(out, i)
		}
	}
	return out
}

// heals tells whether a restart of the unit that suffers can end an incident: where something hangs or
// was stopped it does; where something is wrong, full, expired or absent, or the unit is started again and
// again as it is, it does not.
func heals(i finding.Incident) bool {
	switch i.Root.Mechanism {
	case v1alpha1.MechanismStopped, v1alpha1.MechanismHung, v1alpha1.MechanismFailing, v1alpha1.MechanismDegraded, v1alpha1.MechanismUnreachable:
		return i.Root.Subject.Kind == "Unit" || i.Root.Mechanism == v1alpha1.MechanismHung
	default:
		return false
	}
}

// refuse says why a restart would not help, and what would.
func (r *repairer) refuse(i finding.Incident) error {
	r.tell("not restarted: that would not heal it\n", "재시작하지 않았습니다. 재시작으로는 해결되지 않습니다\n")
	if err := report.Incident(r.inv.Out, i.Details(r.lang), r.inv.Now(), r.options); err != nil {
		return fmt.Errorf("saying why not: %w", err)
	}
	return exit.With(exit.Incidents)
}

// restart does it, watches what becomes of the unit, and leaves an Event.
func (r *repairer) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	if err := r.remember(); err != nil {
		return &exit.Error{Code: exit.Failed, Err: err}
	}
	began := r.inv.Now()
	result, err := r.bus.Restart(ctx, r.unit)
	if err != nil {
		return &exit.Error{Code: exit.Failed, Err: fmt.Errorf("restarting %s: %w", r.unit, err)}
	}
	state, err := r.settle(ctx, result == "done")
	if err != nil {
		return &exit.Error{Code: exit.Failed, Err: fmt.Errorf("asking systemd for %s after the restart: %w", r.unit, err)}
	}
	took := r.inv.Now().Sub(began).Round(100 * time.Millisecond)
	well := state.Active == "active"
	text := fmt.Sprintf("%s machine --repair restarted %s: it is %s after %s", r.inv.Program, r.unit, state, took)
	if result != "done" {
		text += "; systemd says of the job: " + result
	}
	if well {
		r.tell("restarted: it is %s after %s\n", "재시작했습니다. %[2]s 뒤 상태: %[1]s\n", state, took)
	} else {
		r.tell("restarted, and it does not run: it is %s (%s) after %s; see: journalctl -u %s -n 50 --no-pager\n",
			"재시작했으나 실행되지 않습니다. %[3]s 뒤 상태: %[1]s (%[2]s). 확인: journalctl -u %[4]s -n 50 --no-pager\n", state, state.Result, took, r.unit)
	}
	if err := r.leaveEvent(ctx, text, well); err != nil {
		r.tell("no Event could be left: %s\n", "Event를 남기지 못했습니다: %s\n", report.Clean(err.Error()))
	}
	if !well {
		return exit.With(exit.Incidents)
	}
	return nil
}

// settle watches a unit until it has run for a while, or has ended.
func (r *repairer) settle(ctx context.Context, started bool) (unitState, error) {
	end := r.inv.Now().Add(settleTime)
	for {
		state, err := r.bus.State(ctx, r.unit)
		if err != nil || state.Active == "failed" || !started || !r.inv.Now().Before(end) {
			return state, err
		}
		select {
		case <-ctx.Done():
			return state, nil
		case <-r.inv.After(settleStep):
		}
	}
}

// last is when the unit was last restarted by this command; zero where it was not.
func (r *repairer) last() time.Time { return r.restarts()[r.unit] }

func (r *repairer) restarts() map[string]time.Time {
	known := map[string]time.Time{}
	data, err := os.ReadFile(r.brake)
	if err != nil || json.Unmarshal(data, &known) != nil || known == nil {
		return map[string]time.Time{}
	}
	return known
}

// remember notes the restart before it is made, so that one which takes this process along counts too.
func (r *repairer) remember() error {
	known := r.restarts()
	known[r.unit] = r.inv.Now().UTC()
	data, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("noting the restart: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(r.brake), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("noting the restart: %w", err)
	}
	if err := os.WriteFile(r.brake+".new", data, 0o600); err != nil {
		return fmt.Errorf("noting the restart: %w", err)
	}
	if err := os.Rename(r.brake+".new", r.brake); err != nil {
		return fmt.Errorf("noting the restart: %w", err)
	}
	return nil
}

func (r *repairer) say(format string, args ...any) {
	// What cannot be printed is done all the same.
	_, _ = fmt.Fprintf(r.inv.Out, format, args...)
}

// tell is say in the user's language.
func (r *repairer) tell(en, ko string, args ...any) {
	r.say("%s", finding.Textf(en, ko, args...).In(r.lang))
}

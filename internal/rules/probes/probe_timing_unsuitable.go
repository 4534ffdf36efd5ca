package probes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
	kubelet "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

var _ = Catalog.Add(rule.Rule{
	Code:  "ProbeTimingUnsuitable",
	Title: finding.Textf("probe's timing does not do what it looks like", "probe의 시간 설정이 의도와 다르게 동작합니다"),
	Doc: finding.Textf(
		"A probe's timing has consequences that its fields do not show: a liveness probe that kills for a pause of less than fifteen seconds, which a garbage collection or a slow disk can take; a timeout so much longer than the period that the next attempts wait for it and "+
			"a hang is noticed half as late again as the fields say; a startup probe that bears more than an hour, in which no liveness probe runs; an initial delay beside a startup probe, which makes it superfluous and holds a pod back that is up sooner; an initial delay of more than two minutes where a startup probe would go on as soon as the program is up; a grace "+
			"period of more than two minutes that a killed, hanging container takes before its restart. One finding a workload, with one patch for all of it. Left alone: Jobs, static pods, timings that bear at least fifteen seconds, delays that the startup probe has itself, "+
			"and the grace periods of StatefulSets and of pods that an operator makes: what keeps data may need all of it even then.",
		"probe의 시간 설정이 필드만 보아서는 알 수 없는 결과를 낳습니다. 15초 미만의 정지(GC나 느린 디스크로도 생깁니다)에 컨테이너를 종료시키는 liveness probe, period보다 훨씬 긴 timeout(다음 시도가 미뤄져 멈춤을 필드에 적힌 것보다 1.5배 이상 늦게 알아차립니다), 한 시간 넘게 기다리는 startup probe(그동안 liveness probe가 "+
			"실행되지 않습니다), startup probe가 있어 필요 없는데도 먼저 준비된 Pod를 기다리게 하는 initialDelaySeconds, startup probe라면 준비되는 즉시 진행할 것을 2분 넘게 기다리는 initialDelaySeconds, 멈춘 컨테이너를 종료시킬 때 재시작 전에 2분 넘게 기다리는 grace period입니다. 워크로드마다 하나로, 한 번에 고치는 patch와 함께 알립니다. "+
			"Job, static Pod, 15초 이상 견디는 설정, startup probe에도 있는 initialDelaySeconds, StatefulSet과 operator가 만든 Pod의 grace period(데이터를 다루는 프로그램은 그 시간이 모두 필요할 수 있습니다)는 제외합니다."),
	Link:     "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes",
	Severity: finding.Info,
	Risk:     true,
	Needs:    baseNeeds(),
	Detect: func(p *rule.Pass) {
		for f := range familiesOf(p.Snapshot).serving() {
			var odd []oddity
			for at := range f.places(f.pods[0]) {
				if odd = at.oddities(); len(odd) > 0 {
					p.Report(oddFinding(p.Snapshot, odd))
					break
				}
			}
		}
	},
})

const (
	// shortestPause is the pause that any liveness probe should bear.
	shortestPause = 15 * time.Second
	// longestBudget is how long a startup probe may bear and still find a program that hangs while it starts.
	longestBudget = time.Hour
	// longestDelay is how long an initial delay may be where no startup probe is.
	longestDelay = 2 * time.Minute
	// idleDelay is a delay beside a startup probe that keeps something waiting.
	idleDelay = 10 * time.Second
	// longestGrace is how long a hanging container may take to end when its probe kills it.
	longestGrace = 2 * time.Minute
	// hangGrace is what the remedy gives it.
	hangGrace = 30 * time.Second
)

// oddity is one consequence of a probe's timing.
type oddity struct {
	probe

	field string
	says  finding.Text
	// change of the probe, and of the container where another probe is to be added.
	change fields
}

// oddities of the probes of a container.
func (at place) oddities() []oddity {
	var out []oddity
	for _, one := range at.probes() {
		t := one.timing()
		if one.kind == liveness {
			out = append(out, one.livenessOddities(t)...)
		}
		if better := unhurried(t); one.kind != startup && t.Timeout > t.Period && notices(t) >= max(seemsToNotice(t)*3/2, patientReadiness) {
			out = append(out, oddity{one, ".timeoutSeconds", finding.Textf(
				"a %s attempt may take %d s, longer than the period of %d s: the next waits for it, so that a hang is noticed after up to %s s",
				"%s 시도 하나가 period %[3]d초보다 긴 %[2]d초까지 걸릴 수 있어 다음 시도가 미뤄지며, 멈춤을 알아차리는 데 최대 %[4]s초가 걸립니다",
				one.kind, seconds(t.Timeout), seconds(t.Period), noticing(t)), fields{"periodSeconds": seconds(better.Period), "failureThreshold": better.FailureThreshold}})
		}
		if one.kind == startup && budget(t) > longestBudget && at.container.LivenessProbe != nil {
			better := forStart(t, longestBudget/2, t.InitialDelay)
			out = append(out, oddity{one, ".failureThreshold", finding.Textf(
				"the startup probe bears %d + %d x %d = %d s, in which the liveness probe does not run: a program that hangs while it starts stays so for that long",
				"startup probe가 %d + %d x %d = %d초까지 기다리며 그동안 liveness probe가 실행되지 않으므로 시작하다 멈춘 프로그램이 그만큼 방치됩니다",
				seconds(t.InitialDelay), t.FailureThreshold, seconds(t.Period), seconds(budget(t))), fields{"failureThreshold": better.FailureThreshold}})
		}
		if one.kind != startup && t.InitialDelay > longestDelay && at.container.StartupProbe == nil {
			says := finding.Textf("the first readiness attempt comes %d s after each start, even if the program is up in ten: a startup probe goes on as soon as it is",
				"프로그램이 10초 만에 준비되어도 첫 readiness 확인은 시작 후 %d초에 합니다. startup probe는 준비되는 즉시 진행합니다", seconds(t.InitialDelay))
			if one.kind == liveness {
				says = finding.Textf("for %d s after each start nobody notices a program that hangs, and a start that takes longer is killed: a startup probe fits both",
					"시작 후 %d초 동안은 멈춘 프로그램을 알아차리지 못하고 그보다 오래 걸리는 시작은 종료시킵니다. startup probe가 두 경우에 모두 맞습니다", seconds(t.InitialDelay))
			}
			out = append(out, oddity{one, ".initialDelaySeconds", says, fields{"initialDelaySeconds": nil}})
		}
		out = append(out, one.besideStartup(t)...)
	}
	return out
}

// seemsToNotice is after how long a hang would be noticed if attempts began a period apart, as the fields read.
func seemsToNotice(t kubelet.Timing) time.Duration {
	return time.Duration(t.FailureThreshold)*t.Period + t.Timeout
}

// unhurried has attempts as far apart as they may last, and as many of them as gives up about when the fields seem to.
func unhurried(t kubelet.Timing) kubelet.Timing {
	attempts := (time.Duration(t.FailureThreshold)*t.Period + t.Timeout - 1) / t.Timeout
	t.Period, t.FailureThreshold = t.Timeout, max(2, int(attempts))
	return t
}

// besideStartup are the consequences of an initial delay where a startup probe holds the others back anyway:
// both count from the start of the container (k8s.io/kubernetes/pkg/kubelet/prober/worker.go, doProbe).
func (p probe) besideStartup(t kubelet.Timing) []oddity {
	change := fields{"initialDelaySeconds": nil}
	switch {
	case p.kind == startup && p.init && t.InitialDelay >= idleDelay:
		return []oddity{{p, ".initialDelaySeconds", finding.Textf(
			"the containers of the pod are not started before this sidecar's startup probe succeeds, which is not asked for %d s after its start", "Pod의 컨테이너는 이 sidecar의 startup probe가 성공한 뒤에 시작하는데 시작 후 %d초 동안은 확인하지 않습니다", seconds(t.InitialDelay)), change}}
	case p.kind == startup || p.container.StartupProbe == nil:
		return nil
	case p.kind == readiness && t.InitialDelay-p.startsAfter() >= idleDelay:
		return []oddity{{p, ".initialDelaySeconds", finding.Textf(
			"readiness waits %d s from the start of the container though a startup probe tells when the program is up: a pod that is up sooner idles", "프로그램이 준비되면 startup probe가 알려 주는데도 readiness가 컨테이너 시작부터 %d초를 기다리므로 먼저 준비된 Pod가 놀게 됩니다", seconds(t.InitialDelay)), change}}
	case p.kind == liveness && t.InitialDelay > budget(probe{p.place, startup, p.container.StartupProbe}.timing()):
		return []oddity{{p, ".initialDelaySeconds", finding.Textf(
			"liveness waits %d s from the start of the container, longer than the startup probe allows a start to take: a program that hangs in between is not noticed", "liveness가 startup probe의 허용 시간보다 긴 %d초를 컨테이너 시작부터 기다리므로 그 사이에 멈춘 프로그램을 알아차리지 못합니다", seconds(t.InitialDelay)), change}}
	default:
		return nil
	}
}

// startsAfter is the soonest that the container's startup probe can succeed.
func (p probe) startsAfter() time.Duration {
	return probe{p.place, startup, p.container.StartupProbe}.timing().InitialDelay
}

func (p probe) livenessOddities(t kubelet.Timing) []oddity {
	var out []oddity
	if notices(t) < shortestPause || t.FailureThreshold == 1 && notices(t) < patientReadiness {
		better := relaxed(t)
		out = append(out, oddity{
			p, ".failureThreshold", finding.Textf(
				"the liveness probe kills for a pause of %s s; with a failureThreshold of %d it bears %s s",
				"liveness probe가 %s초의 정지에 컨테이너를 종료시킵니다. failureThreshold가 %d이면 %s초를 견딥니다",
				noticing(t), better.FailureThreshold, noticing(better)),
			fields{"failureThreshold": better.FailureThreshold},
		})
	}
	if grace := p.pod.Spec.TerminationGracePeriodSeconds; p.of.replaceable() && grace != nil && p.spec.TerminationGracePeriodSeconds == nil && time.Duration(*grace)*time.Second > longestGrace {
		out = append(out, oddity{
			p, ".terminationGracePeriodSeconds", finding.Textf(
				"a container that the liveness probe kills because it hangs takes the pod's whole grace period of %d s before it is started again; the probe can have one of its own",
				"멈춰서 liveness probe로 종료되는 컨테이너도 다시 시작되기까지 Pod의 grace period %d초를 모두 기다립니다. probe에 별도의 값을 둘 수 있습니다", *grace),
			fields{"terminationGracePeriodSeconds": seconds(hangGrace)},
		})
	}
	return out
}

// replaceable tells whether the pods are made to be ended: of those that keep data, or that an operator makes for
// its own purpose, nobody else knows how long they must be let.
func (f *family) replaceable() bool {
	switch f.workload.Kind {
	case "Deployment", "ReplicaSet", "ReplicationController", "DaemonSet":
		return true
	default:
		return false
	}
}

func oddFinding(s *snapshot.Snapshot, odd []oddity) finding.Finding {
	at, f := odd[0].place, odd[0].of
	change, needsStartup := fields{}, false
	var says []finding.Text
	var evidence []finding.Evidence
	for _, o := range odd {
		says = append(says, o.says)
		evidence = append(evidence, finding.Evidence{Source: finding.Named(f.workload), Path: o.probe.field(o.field), Value: o.value()})
		fresh, ok := change[o.name()].(fields)
		if !ok {
			fresh = fields{}
			change[o.name()] = fresh
		}
		for key, value := range o.change {
			fresh[key] = value
			needsStartup = needsStartup || key == "initialDelaySeconds" && at.container.StartupProbe == nil
		}
	}
	text := finding.Format("set %s", "%s로 설정합니다", finding.Verbatim(settings(change)))
	if needsStartup {
		first := at.probes()[0]
		t, longest := first.timing(), time.Duration(0)
		for _, o := range odd {
			longest = max(longest, budget(o.timing()))
		}
		better := forStart(t, max(generous, longest), 0)
		handler := first.handler()
		handler["periodSeconds"], handler["failureThreshold"] = seconds(t.Period), better.FailureThreshold
		change["startupProbe"] = handler
		text = finding.Textf("a startup probe that spares starts of up to %s s in place of the delay", "initialDelaySeconds 대신 %s초까지의 시작을 기다리는 startup probe를 둡니다", sparing(better))
	}
	for _, o := range odd {
		if o.kind == liveness && o.field == ".timeoutSeconds" {
			text = finding.Join("; ", text, finding.Textf("a hang is then noticed after up to %s s: give more failures to a program that may pause for longer",
				"그러면 멈춤을 최대 %s초에 알아차립니다. 프로그램이 그보다 오래 멈출 수 있으면 failureThreshold를 더 늘리십시오", noticing(unhurried(o.timing()))))
		}
	}
	return finding.Finding{
		Subject: f.workload, Mechanism: v1alpha1.MechanismMisconfigured, Field: odd[0].probe.field(odd[0].field), Explains: []finding.Subject{f.workload},
		Title: finding.Format("%s: container %s: %s", "%s: %s 컨테이너: %s", finding.Verbatim(finding.Named(f.workload)), finding.Verbatim(at.container.Name), odd[0].says),
		Why:   finding.Join("; ", says...), Evidence: evidence,
		Remedies: finding.Remedies{Later: []finding.Remedy{at.mend(s, change, text)}},
	}
}

// settings writes a change of probes as people say it.
func settings(change fields) string {
	var out []string
	for name, of := range change {
		inner, ok := of.(fields)
		if !ok {
			continue
		}
		for field, value := range inner {
			if value == nil {
				value = "(none)"
			}
			out = append(out, fmt.Sprintf("%s.%s=%v", name, field, value))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// value of the field that decides, as the kubelet reads it.
func (o oddity) value() string {
	t := o.timing()
	switch o.field {
	case ".timeoutSeconds":
		return number(seconds(t.Timeout)).EN
	case ".initialDelaySeconds":
		return number(seconds(t.InitialDelay)).EN
	case ".terminationGracePeriodSeconds":
		return "(none)"
	default:
		return number(t.FailureThreshold).EN
	}
}

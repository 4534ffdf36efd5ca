package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// kubeletUnit is the unit that kubeadm's packages install
// (https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/kubelet-integration/).
const kubeletUnit = "kubelet.service"

// runtimeUnits are the units of the container runtimes that speak CRI, and of what stands before Docker.
var runtimeUnits = []string{"containerd.service", "crio.service", "docker.service", "cri-docker.service"}

// unitKeys are what unitsOf reads.
func unitKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{
		"unit/*/load-state", "unit/*/active-state", "unit/*/sub-state", "unit/*/result", "unit/*/restarts", "unit/*/restarts-10m", "unit/*/failing-since",
		"unit/*/exit-code", "unit/*/exit-status", "unit/*/started", "unit/*/file-state", "unit/*/needs-reload", "unit/*/description", "unit/*/last-error", "unit/*/restart-policy",
	}
}

// unit is the state of a unit on a machine.
type unit struct {
	machine snapshot.Machine
	name    string
}

// unitOn returns a unit of a machine; false where there is none.
func unitOn(m snapshot.Machine, name string) (unit, bool) {
	u := unit{m, name}
	return u, u.value("active-state") != ""
}

func (u unit) key(what string) snapshot.EvidenceKey { return snapshot.KeyOf("unit", u.name, what) }

func (u unit) value(what string) string { return u.machine.Value(u.key(what)) }

func (u unit) number(what string) int64 {
	n, _ := u.machine.Int(u.key(what))
	return n
}

// Loops of crashes, as they look to systemd. A unit that is started again after every end is never
// "failed"; between two starts it is activating (auto-restart), and right after one it is active.
const (
	// loopRestarts is how many restarts within ten minutes are a loop.
	loopRestarts = 3
	// fresh is for how long after its last of many restarts a unit is not believed to be well.
	fresh = time.Minute
	// counted is the time over which the units monitor counts recent restarts.
	counted = 10 * time.Minute
)

// looping tells whether a unit is started again and again and ends each time. One that has run for longer
// than its starts lay apart has got over it.
func (u unit) looping() bool {
	if strings.HasPrefix(u.value("sub-state"), "auto-restart") {
		return true
	}
	started := u.machine.Time(u.key("started"))
	if started.IsZero() || !slices.Contains([]string{"active", "activating", "deactivating", "reloading"}, u.value("active-state")) {
		return false
	}
	runs := u.machine.ObservedAt().Sub(started)
	if recent := u.number("restarts-10m"); recent >= loopRestarts {
		return runs < max(fresh, counted/time.Duration(recent))
	}
	return u.number("restarts") >= loopRestarts && runs < fresh
}

// unsure tells whether a loop is only guessed at: it runs at this moment, and nobody has watched how its
// restarts are spread. It may have been mended just now.
func (u unit) unsure() bool {
	return u.value("active-state") == "active" && u.number("restarts-10m") < loopRestarts
}

// stopped tells whether a unit does not run, and nothing will start it.
func (u unit) stopped() bool {
	return !u.looping() && slices.Contains([]string{"inactive", "failed"}, u.value("active-state"))
}

// failed tells whether it ended by itself, and not because it was told to.
func (u unit) failed() bool { return u.value("active-state") == "failed" }

// since is when it came to stand as it does; of a loop the state changes at every start.
func (u unit) since() time.Time {
	if u.looping() {
		return u.machine.Time(u.key("failing-since"))
	}
	return u.machine.Since(u.key("active-state"))
}

// lastError is what its program said when it ended.
func (u unit) lastError() string { return u.value("last-error") }

// how says how the unit stands, in systemd's own words, and what its program said last.
func (u unit) how() finding.Text {
	state := u.value("active-state") + " (" + u.value("sub-state") + ")"
	out := finding.Textf("systemd says of %s: %s.", "systemd에서 %s 상태: %s.", u.name, state)
	if u.looping() {
		out = finding.Textf("systemd says of %s: %s, restarts: %d.", "systemd에서 %s 상태: %s, 재시작 %d회.", u.name, state, u.number("restarts"))
	}
	if end := u.end(); end != "" && (u.looping() || u.failed()) {
		out = finding.Join(" ", out, finding.Textf("Its process last ended with %s.", "프로세스의 마지막 종료: %s.", end))
	}
	return out
}

// end is how its main process last ended.
func (u unit) end() string {
	switch {
	case u.value("result") == "oom-kill":
		return "oom-kill"
	case u.value("exit-code") == "":
		return ""
	case u.value("exit-code") == "exited":
		return "exit status " + u.value("exit-status")
	default:
		return "signal " + u.value("exit-status")
	}
}

// evidence of how it stands.
func (u unit) evidence() []finding.Evidence {
	var out []finding.Evidence
	for _, what := range []string{"active-state", "sub-state", "result", "restarts", "exit-status", "last-error"} {
		if what == "restarts" && u.number(what) == 0 || u.value(what) == "" || what == "exit-status" && !u.looping() && !u.failed() {
			continue
		}
		out = append(out, u.machine.Evidence(u.key(what)))
	}
	return out
}

// logs is the command that shows what a unit wrote.
func (u unit) logs() string {
	return fmt.Sprintf("systemctl status %s --no-pager; journalctl -u %s -n 50 --no-pager", u.short(), u.short())
}

func (u unit) short() string { return finding.ShellWord(strings.TrimSuffix(u.name, ".service")) }

// machineUp is what every report of a machine rules out.
func machineUp(m snapshot.Machine) finding.Statement {
	return finding.Statement{
		Text: finding.Text{
			EN: "machine off: Maek reads this on the machine itself",
			KO: "머신 꺼짐: 이 머신에서 직접 읽은 값입니다",
		},
		Evidence: []finding.Evidence{{Source: "machine " + m.Node(), Path: "observedAt", Value: m.ObservedAt().UTC().Format(time.RFC3339), At: finding.Timestamp(m.ObservedAt())}},
	}
}

// runtimeRuns rules the container runtime out, where its unit runs.
func runtimeRuns(m snapshot.Machine) []finding.Statement {
	for _, name := range runtimeUnits {
		u, ok := unitOn(m, name)
		if !ok || u.value("active-state") != "active" || u.looping() {
			continue
		}
		return []finding.Statement{{
			Text:     finding.Textf("container runtime: %s runs", "컨테이너 런타임: %s 실행 중입니다", name),
			Evidence: []finding.Evidence{m.Evidence(u.key("active-state"))},
		}}
	}
	return nil
}

// pathOpen rules the network between the machine and the API server out, where it answers from there.
func pathOpen(m snapshot.Machine) []finding.Statement {
	if m.Value("kubelet/api-server/outcome") != "answered" {
		return nil
	}
	return []finding.Statement{{
		Text:     finding.Textf("network: %s answers from this machine", "네트워크: 이 머신에서 %s 주소가 응답합니다", m.Value("kubelet/api-server/url")),
		Evidence: []finding.Evidence{m.Evidence("kubelet/api-server/outcome")},
	}}
}

// pathKeys are what pathOpen reads.
func pathKeys() []snapshot.EvidenceKey {
	return []snapshot.EvidenceKey{"kubelet/api-server/outcome", "kubelet/api-server/url"}
}

// nodeOnly is the Node under a machine, which a machine's trouble harms.
func nodeOnly(m snapshot.Machine) []finding.Subject {
	return []finding.Subject{{Kind: "Node", Name: m.Node()}}
}

// kubeletOnMachine are the causes, found on the machine itself, of a kubelet that does not report or not well.
func kubeletOnMachine() []rule.Cause {
	var out []rule.Cause
	for _, code := range []finding.Code{
		"KubeletUnitStopped", "KubeletCannotStart", "KubeletHung", "KubeletCertificateExpired", "KubeletUnauthorized", "KubeletCannotReachApiServer", "ContainerRuntimeStopped",
	} {
		out = append(out, rule.Cause{Code: code, Via: rule.OnMachine})
	}
	return out
}

// pausedEffect is what a kubelet's end means for the node.
func pausedEffect() finding.Text {
	return finding.Text{
		EN: "Containers there go on running; the node starts and ends no pods, and its pods leave the endpoints of their Services.",
		KO: "컨테이너는 계속 실행되지만 이 노드에서는 Pod를 시작하거나 종료할 수 없고, Pod는 Service endpoint에서 빠집니다.",
	}
}

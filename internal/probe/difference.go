package probe

import "github.com/maek-dev/maek/internal/finding"

// Difference names a way in which the kubelet's verdict is not what people think it is.
type Difference string

// The differences.
const (
	// BodyLost: an answer began and was not finished. The kubelet discards it, whatever its status.
	// https://github.com/kubernetes/kubernetes/issues/122591
	BodyLost Difference = "BodyLost"
	// RedirectedAway: the answer was a redirect to another host. The kubelet does not follow it, and
	// counts it as a success.
	RedirectedAway Difference = "RedirectedAway"
	// PortUnresolved: the port is a name that this container does not give to a port, or no port number.
	PortUnresolved Difference = "PortUnresolved"
	// RequestInvalid: no request can be made from what the spec says.
	RequestInvalid Difference = "RequestInvalid"
	// NoHandler: the probe does not say how to ask.
	NoHandler Difference = "NoHandler"
	// CommandNotRun: the container runtime could not run the command.
	CommandNotRun Difference = "CommandNotRun"
	// ConnectionErrorHidden: a gRPC probe failed for the same reason to both, but the kubelet tells
	// only of its timeout.
	ConnectionErrorHidden Difference = "ConnectionErrorHidden"
)

// Text says in a sentence what the difference comes to for a probe of a kind; "" for none.
func (d Difference) Text(kind Kind) finding.Text {
	switch d {
	case BodyLost:
		return finding.Join(" ",
			finding.Textf("The answer began and was not finished. The kubelet throws such an attempt away, whatever its status.",
				"응답이 시작되었지만 끝나지 않았습니다. kubelet은 상태 코드와 관계없이 이런 시도를 버립니다."), neverCounts(kind))
	case RedirectedAway:
		return finding.Textf("The answer is a redirect to another host. The kubelet does not follow it and counts it as a success, whatever is behind it.",
			"응답이 다른 호스트로 보내는 리디렉션입니다. kubelet은 이를 따라가지 않고, 그 뒤의 상태와 관계없이 성공으로 셉니다.")
	case PortUnresolved:
		return finding.Join(" ",
			finding.Textf("The probe's port is neither a number from 1 to 65535 nor the name of a port of this container.",
				"probe의 port가 1~65535 사이의 숫자도, 이 컨테이너에 선언된 port의 이름도 아닙니다."), neverCounts(kind))
	case RequestInvalid:
		return finding.Join(" ",
			finding.Textf("No request can be made from this spec.", "이 spec으로는 요청을 만들 수 없습니다."), neverCounts(kind))
	case NoHandler:
		return finding.Join(" ",
			finding.Textf("The probe does not say how to ask.", "probe에 확인 방법이 지정되어 있지 않습니다."), neverCounts(kind))
	case CommandNotRun:
		return finding.Join(" ",
			finding.Textf("The container runtime could not run the command.", "컨테이너 런타임이 명령을 실행하지 못했습니다."), neverCounts(kind))
	case ConnectionErrorHidden:
		return finding.Textf("The kubelet keeps trying to connect until its timeout, and tells only of that.",
			"kubelet은 타임아웃까지 연결을 다시 시도하고 타임아웃만 알립니다.")
	default:
		return finding.Text{}
	}
}

// neverCounts says what a result that is thrown away every time means.
func neverCounts(kind Kind) finding.Text {
	switch kind {
	case Liveness:
		return finding.Textf("As long as that is so, the kubelet never restarts the container.",
			"이 상태가 계속되는 한 kubelet은 컨테이너를 다시 시작하지 않습니다.")
	case Readiness:
		return finding.Textf("As long as that is so, the container keeps the readiness it had: one that was never ready does not become ready.",
			"이 상태가 계속되는 한 컨테이너의 준비 상태는 바뀌지 않습니다. 한 번도 준비된 적이 없으면 준비 상태가 되지 않습니다.")
	case Startup:
		return finding.Textf("As long as that is so, the container neither counts as started nor is restarted, and its other probes do not begin.",
			"이 상태가 계속되는 한 컨테이너는 시작된 것으로 간주되지도, 다시 시작되지도 않으며 다른 probe도 시작되지 않습니다.")
	default:
		return finding.Text{}
	}
}

package workload

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
)

// signals are those with which containers commonly end (signal(7)).
var signals = map[int32]string{
	4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM",
}

// firstSignal is what shells and runtimes add to the number of a signal that ended a process
// (https://www.gnu.org/software/bash/manual/html_node/Exit-Status.html).
const firstSignal = 128

// signalOf names the signal that an exit code stands for; empty where it stands for none.
func signalOf(code int32) string { return signals[code-firstSignal] }

// exitMeaning says what an exit code tells, beyond its number; empty where that is nothing.
func exitMeaning(end *corev1.ContainerStateTerminated) finding.Text {
	code := end.ExitCode
	switch {
	case end.Reason == endForgotten:
		return finding.Textf("how it ended is not recorded any more", "종료 원인이 더 이상 기록되어 있지 않습니다")
	case notStarted(end):
		return finding.Textf("the runtime could not start its command", "컨테이너 runtime이 명령을 시작하지 못했습니다")
	case end.Reason == "ContainerStatusUnknown":
		return finding.Textf("the kubelet lost track of it, as after a restart of the machine", "머신 재시작 등으로 kubelet이 컨테이너 상태를 놓쳤습니다")
	case code == 0:
		return finding.Textf("its command ends with success, where a container that is to go on must not end",
			"명령이 정상 종료됩니다. 계속 실행되어야 하는 컨테이너는 종료되면 안 됩니다")
	case code == 126:
		return finding.Textf("the command is there and cannot be run: no permission, or no program", "명령은 있지만 실행할 수 없습니다(권한이 없거나 실행 파일이 아님)")
	case code == 127:
		return finding.Textf("the shell does not find the command", "shell이 명령을 찾지 못합니다")
	case code == firstSignal+9:
		return finding.Textf("killed with SIGKILL, and not for memory: the runtime records no OOM kill", "SIGKILL로 강제 종료되었습니다. OOM 기록이 없으므로 메모리 때문은 아닙니다")
	case code == firstSignal+15:
		return finding.Textf("told to stop with SIGTERM, by somebody else", "외부에서 보낸 SIGTERM으로 종료되었습니다")
	case code == firstSignal+11:
		return finding.Textf("it touched memory that is not its own (SIGSEGV): a fault in the program", "잘못된 메모리에 접근했습니다(SIGSEGV). 프로그램 결함입니다")
	case signalOf(code) != "":
		return finding.Textf("ended by %s", "%s로 종료되었습니다", signalOf(code))
	default:
		return finding.Text{}
	}
}

// notStarted tells whether the command was never run: the runtime says so with a reason of its own
// (containerd, internal/cri/server/container_start.go; CRI-O and Docker have ContainerCannotRun).
func notStarted(end *corev1.ContainerStateTerminated) bool {
	return end.Reason == "StartError" || end.Reason == "ContainerCannotRun"
}

// wrongArchitecture tells whether any of the texts says that the program is for another processor
// (execve(2), ENOEXEC).
func wrongArchitecture(texts ...string) bool {
	for _, t := range texts {
		if strings.Contains(t, "exec format error") {
			return true
		}
	}
	return false
}

// how says in a few words how a container ends.
func how(end *corev1.ContainerStateTerminated) finding.Text {
	code := strconv.Itoa(int(end.ExitCode))
	if s := signalOf(end.ExitCode); s != "" {
		code += ", " + s
	}
	switch {
	case end.Reason == endForgotten:
		return finding.Textf("keeps exiting", "계속 종료됩니다")
	case notStarted(end):
		return finding.Textf("cannot be started", "시작하지 못합니다")
	}
	return finding.Textf("keeps exiting (exit code %s)", "계속 종료됩니다(exit code %s)", code)
}

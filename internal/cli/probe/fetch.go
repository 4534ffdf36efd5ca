package probe

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/collect/pods"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/probe"
)

// fetch asks an HTTP probe by curl in the container, which asks the pod's own address as the kubelet does: a
// program that listens on 127.0.0.1 alone does not answer there.
func (a *asker) fetch(ctx context.Context, o one, target probe.HTTP, timeout time.Duration) asked {
	command := []string{"curl", "-gksS", "-o", "/dev/null", "-m", strconv.Itoa(max(1, int(timeout/time.Second))), "-w", "%{http_code}"}
	for _, name := range sortedNames(target.Header) {
		for _, value := range target.Header[name] {
			command = append(command, "-H", name+": "+value)
		}
	}
	command = append(command, target.URL.String())
	began := a.now()
	output, code, err := pods.Commands{Config: a.config}.Run(ctx, probe.Exec{
		Namespace: o.pod.Namespace, Pod: o.pod.Name, Container: o.container.Name, Command: command,
	}, timeout)
	switch {
	case err != nil && missingCommand(err), err == nil && (code == 126 || code == 127):
		return asked{from: byExec, not: finding.Textf("the container has no curl to ask with", "컨테이너에 요청을 보낼 curl이 없습니다")}
	case err != nil:
		return asked{from: byExec, not: notAsked(err, "create on pods/exec")}
	}
	return asked{from: byExec, outcome: fetched(string(output), code, a.now().Sub(began)), timeout: timeout}
}

// fetched is what curl's words and exit code come to. Redirects are not followed here: the kubelet counts them as
// successes if they lead elsewhere.
func fetched(output string, code int, took time.Duration) probe.Outcome {
	text := strings.TrimSpace(output)
	status, err := strconv.Atoi(text[:min(3, len(text))])
	verdict := probe.Verdict{Result: probe.Failure}
	switch {
	case code != 0 || err != nil:
		verdict.Message = fmt.Sprintf("curl: exit code %d: %s", code, strings.TrimPrefix(text, "000"))
	case status >= http.StatusOK && status < http.StatusMultipleChoices:
		verdict.Result = probe.Success
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		verdict = probe.Verdict{Result: probe.Warning, Message: fmt.Sprintf("redirected with status %d", status)}
	default:
		verdict.Message = fmt.Sprintf("HTTP probe failed with statuscode: %d", status)
	}
	outcome := probe.Outcome{Kubelet: verdict, Strict: verdict, Latency: took}
	if err == nil && status > 0 {
		outcome.HTTP = &probe.HTTPAnswer{Status: status}
	}
	return outcome
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

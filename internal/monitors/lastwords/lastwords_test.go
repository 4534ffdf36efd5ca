package lastwords_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitors/lastwords"
)

func TestOf(t *testing.T) {
	tests := map[string]struct {
		lines []string
		want  string
	}{
		"no lines": {},
		"a structured error of klog is taken apart, and systemd's lines after it are not it": {
			lines: []string{
				`Started kubelet: The Kubernetes Node Agent.`,
				`I1121 19:40:00.000001    1234 server.go:530] "Kubelet version" kubeletVersion="v1.36.3"`,
				`E1121 19:40:00.123456    1234 run.go:72] "command failed" err="failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: \"yaml: line 52\""`,
				`kubelet.service: Main process exited, code=exited, status=1/FAILURE`,
				`kubelet.service: Failed with result 'exit-code'.`,
			},
			want: `command failed: failed to load kubelet config file, path: /var/lib/kubelet/config.yaml, error: "yaml: line 52"`,
		},
		"an unstructured error of klog loses its head": {
			lines: []string{`F1121 19:40:00.123456       1 main.go:72] cannot listen: address already in use`},
			want:  `cannot listen: address already in use`,
		},
		"an error of logrus comes before the usage text behind it": {
			lines: []string{`time="2026-11-21T19:40:00Z" level=fatal msg="no such key"`, `Flags:`, `  --config string`},
			want:  `time="2026-11-21T19:40:00Z" level=fatal msg="no such key"`,
		},
		"a refused command line": {lines: []string{"Error: unknown flag: --no-such-flag", ""}, want: "Error: unknown flag: --no-such-flag"},
		"the last line of a program that marks nothing": {
			lines: []string{"starting up", "cannot open /etc/x.conf", "x.service: Failed with result 'exit-code'."},
			want:  "cannot open /etc/x.conf",
		},
		"a last line of klog that is no error says nothing": {lines: []string{`I1121 19:40:00.000001    1234 server.go:530] "Kubelet version"`}},
		"bytes that are no text":                            {lines: []string{"\xff\xfe\x00"}, want: "\xff\xfe\x00"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := lastwords.Of(tc.lines); got != tc.want {
				t.Errorf("Of() = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLastRun(t *testing.T) {
	const started, ended = "Started kubelet.service - kubelet.", "kubelet.service: Main process exited, code=exited, status=1/FAILURE"
	tests := map[string]struct{ lines, want []string }{
		"what it wrote before the start, and after the next, is left out": {
			[]string{"an older error", started, "the reason", ended, "kubelet.service: Failed with result 'exit-code'.", started, "a new start"},
			[]string{"the reason"},
		},
		"a start that lies too far back": {[]string{"one", "two", ended}, []string{"one", "two"}},
		"a program that has not ended":   {[]string{started, "one"}, []string{started, "one"}},
		"nothing is nothing":             {},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lastwords.LastRun(tc.lines)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

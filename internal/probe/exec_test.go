package probe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

// container runs a command as the case says.
type container probetest.ExecCase

func (c container) Run(context.Context, probe.Exec, time.Duration) ([]byte, int, error) {
	if c.TimedOut {
		return nil, 0, fmt.Errorf("running: %w", probe.ErrCommandTimedOut)
	}
	return []byte(c.Output), c.ExitCode, c.Err
}

func TestCommandsAsTheKubeletSeesThem(t *testing.T) {
	for name, tc := range probetest.Exec() {
		t.Run(name, func(t *testing.T) {
			prober := probe.New(probe.Options{Now: wallClock, Run: container(tc)})
			spec := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: tc.Command}}}
			got := prober.Probe(t.Context(), probe.Resolve(spec, site()), time.Second)
			if diff := cmp.Diff(tc.Want, got.Kubelet); diff != "" {
				t.Errorf("the kubelet's verdict (-want +got):\n%s", diff)
			}
			if got.Difference != tc.Difference {
				t.Errorf("difference %q, want %q", got.Difference, tc.Difference)
			}
		})
	}
}

func TestOutputKeepsTheFirstOfBothStreams(t *testing.T) {
	tests := map[string]struct {
		stdout, stderr int
		want           string
	}{
		"nothing":                                  {},
		"little of both":                           {stdout: 2, stderr: 3, want: "ooeee"},
		"errors alone":                             {stderr: 2, want: "ee"},
		"as much as is kept":                       {stdout: probe.KubeletBodyLimit, want: strings.Repeat("o", probe.KubeletBodyLimit)},
		"errors after as much as is kept":          {stdout: probe.KubeletBodyLimit, stderr: 5, want: strings.Repeat("o", probe.KubeletBodyLimit)},
		"errors where there is room for some":      {stdout: probe.KubeletBodyLimit - 1, stderr: 5, want: strings.Repeat("o", probe.KubeletBodyLimit-1) + "e"},
		"ten times as much as is kept, both of it": {stdout: 10 * probe.KubeletBodyLimit, stderr: 10 * probe.KubeletBodyLimit, want: strings.Repeat("o", probe.KubeletBodyLimit)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var output probe.Output
			fmt.Fprint(&output.Stderr, strings.Repeat("e", tc.stderr))
			for range tc.stdout {
				fmt.Fprint(&output.Stdout, "o")
			}
			if diff := cmp.Diff(tc.want, string(output.Bytes())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

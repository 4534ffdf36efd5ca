package launch

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/synthetic"
)

func TestRead(t *testing.T) {
	t.Parallel()
	said := func(o synthetic.Outcome) string { return string(o.Encode(synthetic.MaxOutcome)) }
	tests := map[string]struct {
		code      int32
		message   string
		running   bool
		want      Verdict
		wantError string
	}{
		"all is well":           {message: said(synthetic.Outcome{OK: true, Notes: []string{"no node to look at"}}), want: Passed},
		"something failed":      {code: ExitFailed, message: said(synthetic.Outcome{Errors: []string{"no"}}), want: Failed},
		"it could not be tried": {code: ExitUnable, message: said(synthetic.Outcome{Errors: []string{"may not list nodes"}}), want: Unable},
		"it says that it failed, and not by its exit": {message: said(synthetic.Outcome{Errors: []string{"no"}}), want: Unable},
		"a crash":                 {code: 2, message: "panic: oh", wantError: "its container ended with exit code 2 (Error) and left no result"},
		"an end without a word":   {wantError: "its container ended with exit code 0 (Error) and left no result"},
		"no container that ended": {running: true, wantError: "its pod ended without a container that did: Evicted memory"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{Status: corev1.PodStatus{Reason: "Evicted", Message: "memory"}}
			if !tc.running {
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
					Terminated: &corev1.ContainerStateTerminated{ExitCode: tc.code, Reason: "Error", Message: tc.message},
				}}}
			}
			_, got, err := Read(pod)
			if tc.wantError != "" {
				if !errors.Is(err, ErrNoResult) || err.Error() != tc.wantError {
					t.Errorf("error %v, want %q", err, tc.wantError)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("verdict %d (%v), want %d", got, err, tc.want)
			}
		})
	}
}

func TestSpecFitsTheRestrictedStandard(t *testing.T) {
	t.Parallel()
	for _, s := range synthetic.All.All() {
		spec := Spec(s, "runner", "checker:1", []corev1.EnvVar{{Name: "COUNT", Value: "3"}})
		pod, container := spec.SecurityContext, spec.Containers[0].SecurityContext
		if !*pod.RunAsNonRoot || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *container.AllowPrivilegeEscalation ||
			strings.Join(spec.Containers[0].Args, " ") != "run "+s.Name || len(container.Capabilities.Drop) != 1 || spec.ServiceAccountName != "runner" {
			t.Errorf("%s: %+v", s.Name, spec)
		}
		env := spec.Containers[0].Env
		if last := env[len(env)-1]; last.Name != "COUNT" || last.Value != "3" {
			t.Errorf("%s: the options do not come last: %+v", s.Name, env)
		}
	}
}

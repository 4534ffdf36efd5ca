package check

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/synthetic"
)

func terminated(code int32, reason, message string) *corev1.Pod {
	return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}},
	}}}}
}

func TestWhatAPodLeavesIsItsResult(t *testing.T) {
	cases := map[string]struct {
		pod  *corev1.Pod
		want result
	}{
		"all is well": {
			terminated(0, "Completed", `{"ok":true,"seconds":1.5,"notes":["a note"]}`),
			result{Result: passed, Notes: []string{"a note"}, Seconds: 1.5},
		},
		"something failed": {
			terminated(1, "Error", `{"ok":false,"errors":["node w2 has no pod"],"nodes":[{"node":"w2","ok":false,"message":"no pod"}],"seconds":9}`),
			result{Result: failed, Errors: []string{"node w2 has no pod"}, Nodes: []synthetic.NodeResult{{Node: "w2", Message: "no pod"}}, Seconds: 9},
		},
		"it could not look": {
			terminated(2, "Error", `{"ok":false,"errors":["may not list nodes"],"seconds":0.1}`),
			result{Result: unknown, Reason: "it could not look", Errors: []string{"may not list nodes"}, Seconds: 0.1},
		},
		"it was killed": {
			terminated(137, "OOMKilled", ""),
			result{Result: unknown, Reason: "its container ended with exit code 137 (OOMKilled) and left no result"},
		},
		"a green result with a red exit code is no green": {
			terminated(3, "Error", `{"ok":true,"seconds":1}`),
			result{Result: unknown, Reason: "it could not look", Seconds: 1},
		},
		"it was evicted": {
			&corev1.Pod{Status: corev1.PodStatus{Reason: "Evicted", Message: "The node was low on resource: memory."}},
			result{Result: unknown, Reason: "its pod ended without a container that did: Evicted The node was low on resource: memory."},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, judge(result{Result: unknown}, tc.pod)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestResultsAreReadAtNight(t *testing.T) {
	var out bytes.Buffer
	p := printer{out: &out}
	results := []result{
		{Name: "dns", Result: passed, Seconds: 0.3},
		{Name: "daemonset", Result: failed, Seconds: 41.2, Errors: []string{"w2 has no pod"}, Nodes: []synthetic.NodeResult{{Node: "w1", OK: true}, {Node: "w2", Message: "is not ready:\nKubelet \x1b[2J stopped"}}},
		{Name: "storage", Result: unknown, Reason: "making its pod: forbidden", Notes: []string{"no default StorageClass"}},
		{Name: "storage", Result: skipped, Reason: "there is none"},
	}
	for _, r := range results {
		p.done(r)
	}
	if err := p.end(results); err != nil {
		t.Fatal(err)
	}
	want := `passed   dns  0.3 s
FAILED   daemonset  41.2 s  2 nodes
         w2 has no pod
         node w2: is not ready:
         Kubelet <U+001B>[2J stopped
unknown  storage
         making its pod: forbidden
         note: no default StorageClass
skipped  storage
         there is none

1 passed, 1 failed, 1 could not be checked, 1 skipped
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := code(results); got != exit.Incidents {
		t.Errorf("exit code %d, want %d", got, exit.Incidents)
	}
	if got := code(results[2:]); got != exit.Unknown {
		t.Errorf("exit code %d, want %d", got, exit.Unknown)
	}
	if got := code(results[:1]); got != exit.OK {
		t.Errorf("exit code %d, want %d", got, exit.OK)
	}
}

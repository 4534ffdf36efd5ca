package probes

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

func TestPatchOf(t *testing.T) {
	empty := snapshot.NewBuilder(time.Time{}, snapshot.Source{}).Build()
	for name, tc := range map[string]struct {
		kind    string
		command string // of the probe
		want    Patch
		wantOK  bool
	}{
		"a patch of a Deployment comes back as it was, quotes included": {
			kind: "Deployment", command: "it's", wantOK: true,
			want: Patch{"shop", "deployment", "api", "strategic", []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","startupProbe":{"exec":{"command":["it's"]}}}]}}}}`)},
		},
		"a CronJob has its template further down": {
			kind: "CronJob", command: "true", wantOK: true,
			want: Patch{"shop", "cronjob", "api", "strategic", []byte(`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"app","startupProbe":{"exec":{"command":["true"]}}}]}}}}}}`)},
		},
		"the probes of a bare pod cannot be changed":        {kind: "Pod", command: "true"},
		"a kind that takes no strategic merge has no patch": {kind: "Rollout", command: "true"},
		"what was blotted out is never written back":        {kind: "Deployment", command: "--token=" + secret.Blot},
	} {
		t.Run(name, func(t *testing.T) {
			c := corev1.Container{Name: "app", LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{tc.command}}}}}
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}
			f := &family{workload: finding.Subject{Kind: tc.kind, Namespace: "shop", Name: "api"}, pods: []*corev1.Pod{pod}}
			at := place{of: f, pod: pod, container: &pod.Spec.Containers[0]}
			remedy := at.mend(empty, fields{"startupProbe": at.probes()[0].handler()}, finding.Verbatim("more time"))
			got, ok := PatchOf(remedy)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.wantOK {
				t.Errorf("%q: %v (-want +got):\n%s", remedy.Command, ok, diff)
			}
			if remedy.Text.EN == "" || remedy.Text.KO == "" {
				t.Error("a remedy says nothing")
			}
		})
	}
}

package kuberhealthy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	khv1 "github.com/maek-dev/maek/api/kuberhealthy/v1"
	khv2 "github.com/maek-dev/maek/api/kuberhealthy/v2"
	"github.com/maek-dev/maek/internal/kuberhealthy"
)

func TestDurationsOfChecks(t *testing.T) {
	const most = 20 * 365 * 24 * time.Hour
	tests := map[string]struct {
		interval, timeout         string
		wantInterval, wantTimeout time.Duration
		wantWarnings              []string
	}{
		"what is written counts": {
			interval: "15m", timeout: "1h2m3.5s",
			wantInterval: 15 * time.Minute, wantTimeout: time.Hour + 2*time.Minute + 3500*time.Millisecond,
			wantWarnings: []string{"spec.timeout 1h2m3.5s is above spec.runInterval 15m: a run that takes longer than the interval delays the next one"},
		},
		"nothing written is the default, without a word": {
			wantInterval: 10 * time.Minute, wantTimeout: 5 * time.Minute,
		},
		"blanks around it do no harm": {
			interval: " 20m ", timeout: "\t1m\n",
			wantInterval: 20 * time.Minute, wantTimeout: time.Minute,
		},
		"what cannot be read is the default": {
			interval: "5 minutes", timeout: "90",
			wantInterval: 10 * time.Minute, wantTimeout: 5 * time.Minute,
			wantWarnings: []string{
				`spec.runInterval "5 minutes" is no duration such as 5m or 1h30m: 10m stands for it`,
				`spec.timeout "90" is no duration such as 5m or 1h30m: 5m stands for it`,
			},
		},
		"nothing runs every zero seconds": {
			interval: "0s", timeout: "-5m",
			wantInterval: 10 * time.Minute, wantTimeout: 5 * time.Minute,
			wantWarnings: []string{
				`spec.runInterval "0s" is not above zero: 10m stands for it`,
				`spec.timeout "-5m" is not above zero: 5m stands for it`,
			},
		},
		"nothing spins": {
			interval: "1ns", timeout: "999ms",
			wantInterval: time.Second, wantTimeout: time.Second,
			wantWarnings: []string{
				`spec.runInterval "1ns" is too short: 1s, the least there is, stands for it`,
				`spec.timeout "999ms" is too short: 1s, the least there is, stands for it`,
			},
		},
		"nothing overflows": {
			interval: "2562047h", timeout: "2562047h",
			wantInterval: most, wantTimeout: most,
			wantWarnings: []string{
				`spec.runInterval "2562047h" is too long: 175200h, the most there is, stands for it`,
				`spec.timeout "2562047h" is too long: 175200h, the most there is, stands for it`,
			},
		},
		"what overflows as it is read is the default": {
			interval: "99999999999999999999h", timeout: "1m",
			wantInterval: 10 * time.Minute, wantTimeout: time.Minute,
			wantWarnings: []string{`spec.runInterval "99999999999999999999h" is no duration such as 5m or 1h30m: 10m stands for it`},
		},
		"a warning repeats a book's beginning only": {
			interval: strings.Repeat("é", 1000), timeout: "1m",
			wantInterval: 10 * time.Minute, wantTimeout: time.Minute,
			wantWarnings: []string{`spec.runInterval "` + strings.Repeat("é", 32) + `"... is no duration such as 5m or 1h30m: 10m stands for it`},
		},
		"a warning has no control characters": {
			interval: "\x00\x1b[2J\n", timeout: "1m",
			wantInterval: 10 * time.Minute, wantTimeout: time.Minute,
			wantWarnings: []string{`spec.runInterval "\x00\x1b[2J" is no duration such as 5m or 1h30m: 10m stands for it`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			check := kuberhealthy.FromCheck(&khv1.KuberhealthyCheck{Spec: khv1.CheckSpec{RunInterval: tc.interval, Timeout: tc.timeout}})
			if check.Interval != tc.wantInterval || check.Timeout != tc.wantTimeout {
				t.Errorf("got every %s for %s, want every %s for %s", check.Interval, check.Timeout, tc.wantInterval, tc.wantTimeout)
			}
			if diff := cmp.Diff(tc.wantWarnings, check.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChecksAreWhatTheirObjectsSay(t *testing.T) {
	created := metav1.NewTime(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	meta := metav1.ObjectMeta{
		Namespace: "shop", Name: "cart", UID: "u1", Generation: 7,
		CreationTimestamp: created, DeletionTimestamp: &created, Labels: map[string]string{"team": "a"},
	}
	common := kuberhealthy.Check{
		NamespacedName: types.NamespacedName{Namespace: "shop", Name: "cart"}, UID: "u1", Generation: 7,
		CreatedAt: created.Time, Deleting: true, Labels: map[string]string{"team": "a"},
		PodLabels: map[string]string{"l": "extra"}, PodAnnotations: map[string]string{"a": "extra"},
		PodSpec: []byte(`{"containers":[]}`),
	}
	spec := runtime.RawExtension{Raw: []byte(`{"containers":[]}`)}
	labels, annotations := map[string]string{"l": "extra"}, map[string]string{"a": "extra"}
	job := khv1.JobSpec{PodSpec: spec, ExtraLabels: labels, ExtraAnnotations: annotations}
	tests := map[string]struct {
		check kuberhealthy.Check
		want  func(*kuberhealthy.Check)
	}{
		"a KuberhealthyCheck": {
			check: kuberhealthy.FromCheck(&khv1.KuberhealthyCheck{ObjectMeta: meta, Spec: khv1.CheckSpec{
				RunInterval: "1h", Timeout: "1m", PodSpec: spec, ExtraLabels: labels, ExtraAnnotations: annotations,
			}}),
			want: func(c *kuberhealthy.Check) {
				c.API, c.Kind, c.Interval, c.Timeout = kuberhealthy.V2, "KuberhealthyCheck", time.Hour, time.Minute
			},
		},
		"a KuberhealthyJob that has not run": {
			check: kuberhealthy.FromJob(&khv1.KuberhealthyJob{ObjectMeta: meta, Spec: job}),
			want: func(c *kuberhealthy.Check) {
				c.API, c.Kind, c.Once, c.Timeout = kuberhealthy.V2, "KuberhealthyJob", true, 5*time.Minute
			},
		},
		"a KuberhealthyJob that has": {
			check: kuberhealthy.FromJob(&khv1.KuberhealthyJob{ObjectMeta: meta, Spec: khv1.JobSpec{
				Phase: khv1.JobCompleted, PodSpec: spec, ExtraLabels: labels, ExtraAnnotations: annotations,
			}}),
			want: func(c *kuberhealthy.Check) {
				c.API, c.Kind, c.Once, c.Done, c.Timeout = kuberhealthy.V2, "KuberhealthyJob", true, true, 5*time.Minute
			},
		},
		"a HealthCheck whose template has labels too": {
			check: kuberhealthy.FromHealthCheck(&khv2.HealthCheck{ObjectMeta: meta, Spec: khv2.HealthCheckSpec{
				ExtraLabels: labels, ExtraAnnotations: annotations,
				PodSpec: khv2.CheckPodSpec{Spec: spec, Metadata: &khv2.CheckPodMetadata{
					Labels: map[string]string{"l": "template", "m": "template"}, Annotations: map[string]string{"b": "template"},
				}},
			}}),
			want: func(c *kuberhealthy.Check) {
				c.API, c.Kind, c.Interval, c.Timeout = kuberhealthy.V3, "HealthCheck", 10*time.Minute, 30*time.Second
				c.PodLabels = map[string]string{"l": "extra", "m": "template"}
				c.PodAnnotations = map[string]string{"a": "extra", "b": "template"}
			},
		},
		"a HealthCheck that runs once has no interval to complain of": {
			check: kuberhealthy.FromHealthCheck(&khv2.HealthCheck{ObjectMeta: meta, Spec: khv2.HealthCheckSpec{
				SingleRunOnly: true, RunInterval: "nonsense", Timeout: "1h",
				ExtraLabels: labels, ExtraAnnotations: annotations, PodSpec: khv2.CheckPodSpec{Spec: spec},
			}}),
			want: func(c *kuberhealthy.Check) {
				c.API, c.Kind, c.Once, c.Timeout = kuberhealthy.V3, "HealthCheck", true, time.Hour
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want := common
			tc.want(&want)
			if diff := cmp.Diff(want, tc.check); diff != "" {
				t.Errorf("check (-want +got):\n%s", diff)
			}
		})
	}
}

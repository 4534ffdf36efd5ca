package probes

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestArithmetic(t *testing.T) {
	for name, tc := range map[string]struct {
		probe        corev1.Probe
		runs         map[int]bool // by seconds: cannot have answered
		wantNoticing string
		wantSparing  string
	}{
		"the API server's defaults": {
			runs:         map[int]bool{16: false, 17: true, 34: true, 35: false},
			wantNoticing: "3 x 10 + 1 = 31", wantSparing: "(3 - 1) x 10 = 20",
		},
		"a delay and one failure": {
			probe:        corev1.Probe{InitialDelaySeconds: 15, PeriodSeconds: 7, FailureThreshold: 1, TimeoutSeconds: 2},
			runs:         map[int]bool{11: false, 12: true, 27: true, 28: false},
			wantNoticing: "1 x 7 + 2 = 9", wantSparing: "15 + (1 - 1) x 7 = 15",
		},
		"attempts longer than the period follow each other without a pause": {
			probe:        corev1.Probe{PeriodSeconds: 10, FailureThreshold: 3, TimeoutSeconds: 15},
			runs:         map[int]bool{16: false, 17: true, 58: true, 59: false},
			wantNoticing: "10 + 3 x 15 = 55", wantSparing: "(3 - 1) x 10 = 20",
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := probe{kind: liveness, spec: &tc.probe}.timing()
			if got := noticing(at); got != tc.wantNoticing {
				t.Errorf("a hang is noticed after %s, want %s", got, tc.wantNoticing)
			}
			if got := sparing(at); got != tc.wantSparing {
				t.Errorf("starts are spared up to %s, want %s", got, tc.wantSparing)
			}
			for run, want := range tc.runs {
				if got := failedFromStart(at, time.Duration(run)*time.Second); got != want {
					t.Errorf("a run of %d s cannot have answered: %v, want %v", run, got, want)
				}
			}
		})
	}
}

// What is recommended for a start must spare that start, and one failure less must not.
func TestForStartIsTheSmallestThatSpares(t *testing.T) {
	for _, period := range []int32{1, 5, 7, 10} {
		for _, start := range []time.Duration{time.Second, 30 * time.Second, 91 * time.Second, 5 * time.Minute} {
			at := probe{kind: liveness, spec: &corev1.Probe{PeriodSeconds: period}}.timing()
			better := forStart(at, start, 0)
			if spare(better) < start {
				t.Errorf("period %d s: %s is less than a start of %v", period, sparing(better), start)
			}
			if better.FailureThreshold--; spare(better) >= start {
				t.Errorf("period %d s: a threshold of %d would be enough for %v", period, better.FailureThreshold, start)
			}
		}
	}
}

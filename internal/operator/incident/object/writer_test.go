package object

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

func TestAFailureIsLoggedOnceAndTriedAgain(t *testing.T) {
	of := schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: resource}
	forbidden := apierrors.NewForbidden(of, "", errors.New("not allowed"))
	absent := apierrors.NewNotFound(of, "")
	busy := apierrors.NewTooManyRequests("later", 1)
	down := errors.New("connection refused")
	tests := map[string]struct {
		errs      []error
		wantPause []time.Duration
		wantLines int
	}{
		"the API server is down, and busy as it comes": {[]error{down, down, busy, down, busy}, []time.Duration{retrySoon, retrySoon, retrySoon, retrySoon, retrySoon}, 2},
		"a right is missing":                           {[]error{forbidden, forbidden, forbidden}, []time.Duration{retrySoon, retryLate, retryLate}, 1},
		"the kind is not installed":                    {[]error{absent, absent}, []time.Duration{retryLate, retryLate}, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			w := NewWriter(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return moment }})
			for i, err := range tc.errs {
				if got := w.failed(t.Context(), err); got != tc.wantPause[i] {
					t.Errorf("after failure %d there is a pause of %s, want %s", i+1, got, tc.wantPause[i])
				}
			}
			if n := strings.Count(log.String(), "level=WARN"); n != tc.wantLines {
				t.Errorf("%d lines, want %d:\n%s", n, tc.wantLines, log.String())
			}
			w.worked()
			w.worked()
			if strings.Count(log.String(), "level=INFO") != 1 {
				t.Errorf("that it works again is not said once:\n%s", log.String())
			}
			w.failed(t.Context(), tc.errs[0])
			if n := strings.Count(log.String(), "level=WARN"); n != tc.wantLines+1 {
				t.Errorf("a new failure is not logged:\n%s", log.String())
			}
		})
	}
}

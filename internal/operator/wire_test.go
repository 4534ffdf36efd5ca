package operator

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestWireNotesWhatCameToNothing asks servers that answer, break, and do not listen.
func TestWireNotesWhatCameToNothing(t *testing.T) {
	answering := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer answering.Close()
	breaking := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer breaking.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		ctx  context.Context //nolint:containedctx // the case
		url  string
		want bool
	}{
		"an answer, though a bad one":   {t.Context(), answering.URL, false},
		"a connection that breaks":      {t.Context(), breaking.URL, true},
		"nobody listens":                {t.Context(), gone.URL, true},
		"whoever asked has given it up": {over, answering.URL, false},
		"given up, and nobody listens":  {over, gone.URL, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
			w := &wire{clock: clocktesting.NewFakePassiveClock(now)}
			r, err := http.NewRequestWithContext(tc.ctx, http.MethodPost, tc.url, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := w.wrap()(http.DefaultTransport).RoundTrip(r)
			if err == nil {
				_ = response.Body.Close()
			} else if !tc.want && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if got := w.since(); got.Equal(now) != tc.want || got.IsZero() == tc.want {
				t.Errorf("out of reach since %v, and it was: %t", got, tc.want)
			}
		})
	}
}

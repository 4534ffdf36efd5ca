package finding_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/finding"
)

func TestQuote(t *testing.T) {
	for name, tc := range map[string]struct {
		message string
		want    string
	}{
		"a short line stays as it is":         {"connection refused", "connection refused"},
		"several lines become one":            {"a\n\tb\r\n  c", "a b c"},
		"broken UTF-8 is replaced":            {"a\xff\xfeb", "a\uFFFDb"},
		"a long message is cut between runes": {strings.Repeat("맥", 1000), strings.Repeat("맥", 300) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := finding.Quote(tc.message)
			if got != tc.want {
				t.Errorf("Quote(%.20q…) = %q, want %q", tc.message, got, tc.want)
			}
			if !utf8.ValidString(got) {
				t.Errorf("Quote(%.20q…) is not valid UTF-8", tc.message)
			}
		})
	}
}

func TestClockNamesTheDayOnlyWhereItIsAnother(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 20, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		at   time.Time
		want string
	}{
		"the same day":                       {now.Add(-10 * time.Minute), "00:10 UTC"},
		"the day before":                     {now.Add(-time.Hour), "2026-03-01 23:20 UTC"},
		"the same day of another year":       {now.AddDate(-1, 0, 0), "2025-03-02 00:20 UTC"},
		"a time that was written in Seoul's": {now.Add(-10 * time.Minute).In(time.FixedZone("KST", 9*3600)), "00:10 UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := finding.Clock(now, tc.at); got != tc.want {
				t.Errorf("Clock = %q, want %q", got, tc.want)
			}
		})
	}
}

package finding

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestQuote(t *testing.T) {
	tests := map[string]struct {
		message string
		want    string
	}{
		"lines become one":             {message: "exec failed:\n\tno such file\r\n", want: "exec failed: no such file"},
		"broken bytes are replaced":    {message: "bad \xff byte", want: "bad \uFFFD byte"},
		"what is too long is cut":      {message: strings.Repeat("가", 400), want: strings.Repeat("가", 300) + "…"},
		"what fits is left as it was":  {message: `secret "login" not found`, want: `secret "login" not found`},
		"nothing but space is nothing": {message: " \n ", want: ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Quote(tc.message)
			if got != tc.want {
				t.Errorf("Quote(%q) = %q, want %q", tc.message, got, tc.want)
			}
			if !utf8.ValidString(got) {
				t.Errorf("Quote(%q) is not UTF-8", tc.message)
			}
		})
	}
}

func TestClockNamesTheDayOnlyWhereItDiffers(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 30, 0, 0, time.UTC)
	if got, want := Clock(now, now.Add(-time.Minute)), "00:29 UTC"; got != want {
		t.Errorf("Clock of the same day = %q, want %q", got, want)
	}
	if got, want := Clock(now, now.Add(-time.Hour)), "2026-03-01 23:30 UTC"; got != want {
		t.Errorf("Clock of the day before = %q, want %q", got, want)
	}
	seoul := time.FixedZone("KST", 9*60*60)
	if got, want := Clock(now, now.In(seoul)), "00:30 UTC"; got != want {
		t.Errorf("Clock of another zone = %q, want %q", got, want)
	}
}

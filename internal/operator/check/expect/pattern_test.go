package expect_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/maek-dev/maek/internal/operator/check/expect"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// What a server sends and a check expects together decides what judging costs.
func TestWorkIsBounded(t *testing.T) {
	const get, tooMuch = `{httpGet: {port: 80}, expect: `, "Unknown ExpectationInvalid: what is expected takes too long to find in an answer of this size; write shorter regular expressions, or narrower paths"
	const heavy = `(x*x*x*x*){150}`
	deep := strings.Repeat(`{"a":`, 90) + `"` + strings.Repeat("x", 900_000) + `"` + strings.Repeat("}", 90)
	many := `["` + strings.Repeat(strings.Repeat("x", 2000)+`","`, 100) + `x"]`
	tests := map[string]struct {
		spec   string
		answer probe.HTTPAnswer
		want   string
	}{
		"a long header, of which the beginning counts": {
			get + `{headers: [{name: X, matches: "^x+$"}]}}`, probe.HTTPAnswer{Status: 200, Header: http.Header{"X": {strings.Repeat("x", 10<<10) + "y"}}}, "",
		},
		"many headers and a heavy pattern": {
			get + `{headers: [{name: X, matches: "` + heavy + `z"}]}}`,
			probe.HTTPAnswer{Status: 200, Header: http.Header{"X": {strings.Repeat("y", 9<<10), strings.Repeat("y", 9<<10), strings.Repeat("y", 9<<10)}}},
			tooMuch,
		},
		"many values and a heavy pattern":  {get + `{json: [{path: "[*]", matches: "^` + heavy + `$"}]}}`, probe.HTTPAnswer{Status: 200, Body: many}, tooMuch},
		"many values and a light pattern":  {get + `{json: [{path: "[*]", matches: "x$"}]}}`, probe.HTTPAnswer{Status: 200, Body: many}, ""},
		"a large value, at all its levels": {get + `{json: [{path: "..", matches: "x"}]}}`, probe.HTTPAnswer{Status: 200, Body: deep}, tooMuch},
		"a large value that is there":      {get + `{json: [{path: ".."}]}}`, probe.HTTPAnswer{Status: 200, Body: deep}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := expect.Judge(spec(t, tc.spec), plan.Answer{Outcome: probe.Outcome{
				Kubelet: probe.Verdict{Result: probe.Success}, Strict: probe.Verdict{Result: probe.Success}, HTTP: &tc.answer,
			}})
			text := ""
			if got.Reason != "" {
				text = string(got.Result) + " " + got.Reason + ": " + got.Message
			}
			if text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
		})
	}
}

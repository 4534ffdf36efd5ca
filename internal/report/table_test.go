package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/finding"
)

func TestTables(t *testing.T) {
	long := "failed to load the configuration: line 41: did not find expected key"
	units := Table{Title: "Units", Headings: []string{"UNIT", "STATE", "SINCE", "ERROR"}, Rows: [][]string{
		{"kubelet.service", "failed", "", long}, {"노드.service", "active", "-", ""},
	}}
	tests := map[string]struct {
		tables []Table
		gaps   []v1alpha1.SkippedRule
		width  int
		want   string
	}{
		"columns are aligned, wide characters too, and those without values left out": {
			tables: []Table{units}, width: 120,
			want: "Units\n" +
				"UNIT             STATE   ERROR\n" +
				"kubelet.service  failed  failed to load the configuration: line 41: did not find expected key\n" +
				"노드.service     active  -\n",
		},
		"the last column is wrapped under itself": {
			tables: []Table{units}, width: 60,
			want: "Units\n" +
				"UNIT             STATE   ERROR\n" +
				"kubelet.service  failed  failed to load the configuration:\n" +
				"                         line 41: did not find expected key\n" +
				"노드.service     active  -\n",
		},
		"what is too wide for the page is told row by row": {
			tables: []Table{units}, width: 40,
			want: "Units\n" +
				"kubelet.service\n" +
				"  STATE failed ·\n" +
				"  ERROR failed to load the\n" +
				"  configuration: line 41: did not find\n" +
				"  expected key\n" +
				"노드.service\n" +
				"  STATE active\n",
		},
		"what another wrote is harmless": {
			tables: []Table{{Title: "Logs", Headings: []string{"LINE"}, Rows: [][]string{{"\x1b[2J\nboom"}}}}, width: 80,
			want: "Logs\nLINE\n<U+001B>[2J boom\n",
		},
		"an empty table is left out, and gaps stand below": {
			tables: []Table{{Title: "Nothing", Headings: []string{"A"}}}, width: 80,
			gaps: []v1alpha1.SkippedRule{{Reason: "units: no system bus"}, {Reason: "units: no journal"}},
			want: "could not check  units: no system bus\ncould not check  units: no journal\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Tables(&out, tc.tables, tc.gaps, Options{Width: tc.width}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("tables (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 3, 2, 2, 20, 0, 0, time.UTC)
	tests := map[string]struct {
		at   time.Time
		lang finding.Language
		want string
	}{
		"today":       {now.Add(-32 * time.Minute), finding.English, "01:48 (32 min)"},
		"another day": {now.Add(-50 * time.Hour), finding.Korean, "02-28 00:20 (2일)"},
		"to come":     {now.Add(3 * time.Hour), finding.English, "2026-03-02 05:20 (+3 h)"},
		"not known":   {time.Time{}, finding.English, "-"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := (Options{Language: tc.lang}).Moment(tc.at, now); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestLogLine(t *testing.T) {
	at := time.Date(2026, 3, 2, 2, 20, 0, 123e6, time.UTC)
	if got, want := string(Options{}.LogLine(at, "kubelet", 'E', "no\x1b[2J")), "02:20:00.123  kubelet           no<U+001B>[2J\n"; got != want {
		t.Errorf("plain: %q, want %q", got, want)
	}
	if got, want := string(Options{Color: true}.LogLine(at, "kubelet", 'E', "no")), "\x1b[2m02:20:00.123  \x1b[0m\x1b[36mkubelet           \x1b[0m\x1b[1;31mno\x1b[0m\n"; got != want {
		t.Errorf("in colour: %q, want %q", got, want)
	}
}

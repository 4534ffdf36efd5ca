package invocation

import (
	"testing"

	"github.com/maek-dev/maek/internal/finding"
)

func TestLanguage(t *testing.T) {
	cases := map[string]struct {
		display     Display
		environment map[string]string
		want        finding.Language
	}{
		"nothing says so":                 {Display{}, nil, finding.English},
		"the flag":                        {Display{Lang: "ko"}, map[string]string{"LANG": "en_US.UTF-8"}, finding.Korean},
		"the flag against the locale":     {Display{Lang: "en"}, map[string]string{"LANG": "ko_KR.UTF-8"}, finding.English},
		"LANG":                            {Display{}, map[string]string{"LANG": "ko_KR.UTF-8"}, finding.Korean},
		"LANG without a country":          {Display{}, map[string]string{"LANG": "ko"}, finding.Korean},
		"LC_MESSAGES before LANG":         {Display{}, map[string]string{"LC_MESSAGES": "en_US.UTF-8", "LANG": "ko_KR.UTF-8"}, finding.English},
		"LC_ALL before both":              {Display{}, map[string]string{"LC_ALL": "ko_KR.UTF-8", "LC_MESSAGES": "en_US.UTF-8", "LANG": "C"}, finding.Korean},
		"a language that only looks like": {Display{}, map[string]string{"LANG": "kok_IN"}, finding.English},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inv := &Invocation{Getenv: func(name string) string { return tc.environment[name] }}
			if got := inv.Language(tc.display); got != tc.want {
				t.Errorf("language %q, want %q", got, tc.want)
			}
		})
	}
}

func TestColourOnlyWhereItIsWanted(t *testing.T) {
	cases := map[string]struct {
		terminal    bool
		display     Display
		environment map[string]string
		want        bool
	}{
		"a terminal":                  {true, Display{}, nil, true},
		"no terminal":                 {false, Display{}, nil, false},
		"a terminal and --no-color":   {true, Display{NoColor: true}, nil, false},
		"a terminal and NO_COLOR":     {true, Display{}, map[string]string{"NO_COLOR": "1"}, false},
		"a terminal without commands": {true, Display{}, map[string]string{"TERM": "dumb"}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inv := &Invocation{OutTerminal: tc.terminal, Getenv: func(name string) string { return tc.environment[name] }}
			if got := inv.Report(tc.display).Color; got != tc.want {
				t.Errorf("colour: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestWidth(t *testing.T) {
	cases := map[string]struct {
		terminal bool
		columns  int
		variable string
		want     int
	}{
		"a terminal's own":               {true, 93, "70", 93},
		"a terminal that does not say":   {true, 0, "70", 70},
		"COLUMNS where there is none":    {false, 0, "70", 70},
		"neither":                        {false, 0, "", 120},
		"COLUMNS that is no number":      {false, 0, "wide", 120},
		"COLUMNS below zero":             {false, 0, "-5", 120},
		"a width that is not the output": {false, 93, "", 120},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inv := &Invocation{OutTerminal: tc.terminal, Columns: tc.columns, Getenv: func(name string) string {
				if name == "COLUMNS" {
					return tc.variable
				}
				return ""
			}}
			if got := inv.Report(Display{}).Width; got != tc.want {
				t.Errorf("width %d, want %d", got, tc.want)
			}
		})
	}
}

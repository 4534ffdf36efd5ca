package synthetic

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// settings is an environment for scenarios that only look.
func settings(t *testing.T, options map[string]string) Environment {
	t.Helper()
	return Environment{
		Getenv: func(name string) string { return options[name] }, Namespace: "checks", Pod: "checker", RunID: "r1",
		Grace: time.Second, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler),
	}
}

// expectation is what a run is expected to find: parts of sentences, in order.
type expectation struct {
	refused       []string
	errors, notes []string
	nodes         []NodeResult
}

func (want expectation) compare(t *testing.T, got Result, err error) {
	t.Helper()
	switch {
	case len(want.refused) > 0:
		if err == nil {
			t.Fatalf("it ran, and found %v; want it to refuse", got)
		}
		for _, part := range want.refused {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("it refused with\n%v\nwant %q in it", err, part)
			}
		}
		return
	case err != nil:
		t.Fatalf("it could not run: %v", err)
	}
	match(t, "errors", got.Errors, want.errors)
	match(t, "notes", got.Notes, want.notes)
	if !slices.Equal(got.Nodes, want.nodes) && want.nodes != nil {
		t.Errorf("nodes are %+v, want %+v", got.Nodes, want.nodes)
	}
}

func match(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s are %d, want %d:\n%s", what, len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s[%d] is\n%s\nwant in it\n%s", what, i, got[i], want[i])
		}
	}
}

func TestOptionsAreReadAndRefusedInOneSentence(t *testing.T) {
	table := []Option{{Name: "COUNT", Default: "3"}, {Name: "NAME"}, {Name: "TIME", Default: "10m"}, {Name: "YES", Default: "false"}, {Name: "PART", Default: "0.9"}, {Name: "WORD", Default: "GET"}, {Name: "MANY"}}
	tests := map[string]struct {
		options map[string]string
		want    []string
	}{
		"nothing is set but what is needed":    {map[string]string{"NAME": "x"}, nil},
		"nothing is set":                       {nil, []string{"NAME is not set: write a name"}},
		"a number with a unit":                 {map[string]string{"NAME": "x", "COUNT": "3s"}, []string{`COUNT is "3s": write a whole number from 1 to 5`}},
		"a number out of range":                {map[string]string{"NAME": "x", "COUNT": "6"}, []string{`COUNT is "6"`}},
		"a duration without a unit":            {map[string]string{"NAME": "x", "TIME": "10"}, []string{`TIME is "10": write a duration of at least 1s`}},
		"a duration below zero":                {map[string]string{"NAME": "x", "TIME": "-1m"}, []string{`TIME is "-1m"`}},
		"yes is neither true nor false":        {map[string]string{"NAME": "x", "YES": "yes"}, []string{`YES is "yes": write true or false`}},
		"not a number":                         {map[string]string{"NAME": "x", "PART": "NaN"}, []string{`PART is "NaN"`}},
		"a word that is none of the choice":    {map[string]string{"NAME": "x", "WORD": "FETCH"}, []string{`WORD is "FETCH": write one of GET, PUT`}},
		"several at once are all said":         {map[string]string{"COUNT": "x", "TIME": "y"}, []string{"COUNT", "NAME", "TIME"}},
		"space around a value is not meant":    {map[string]string{"NAME": " x ", "COUNT": " 2\n"}, nil},
		"a word is taken in any case":          {map[string]string{"NAME": "x", "WORD": "put"}, nil},
		"a list may end with a comma":          {map[string]string{"NAME": "x", "MANY": "a, b,"}, nil},
		"an option of blanks alone is not set": {map[string]string{"NAME": "  "}, []string{"NAME is not set"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := settings(t, tc.options).read(table)
			o.integer("COUNT", 1, 5)
			o.needed("NAME", "a name")
			o.duration("TIME", time.Second)
			o.boolean("YES")
			o.number("PART")
			o.choice("WORD", "GET", "PUT")
			o.list("MANY")
			err := o.err()
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("nothing was refused")
			}
			if lines := strings.Split(err.Error(), "\n"); len(lines) != len(tc.want) {
				t.Fatalf("%d sentences, want %d:\n%v", len(lines), len(tc.want), err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nhas no %q", err, part)
				}
			}
		})
	}
}

func TestOutcomeFitsATerminationMessage(t *testing.T) {
	long := Outcome{OK: false, Seconds: 1.5}
	for range 200 {
		long.Errors = append(long.Errors, strings.Repeat("노드가 응답하지 않습니다. ", 40))
		long.Nodes = append(long.Nodes, NodeResult{Node: strings.Repeat("n", 60), Message: strings.Repeat("x", 900)}, NodeResult{Node: "well", OK: true})
		long.Notes = append(long.Notes, "a note")
	}
	tests := map[string]struct {
		outcome              Outcome
		wantErrors           int
		wantNodes, wantNotes bool
	}{
		"what fits is kept whole":    {Outcome{OK: true, Nodes: []NodeResult{{Node: "a", OK: true}}, Notes: []string{"n"}}, 0, true, true},
		"a thousand things are cut":  {long, 2, false, true},
		"one endless error is cut":   {Outcome{Errors: []string{strings.Repeat("a", 1<<20)}}, 1, false, false},
		"many notes go before nodes": {Outcome{Errors: []string{"e"}, Nodes: []NodeResult{{Node: "a"}}, Notes: slices.Repeat([]string{"note"}, 2000)}, 1, true, false},
		"nodes that are well go before those that are not": {
			Outcome{Errors: []string{"e"}, Nodes: append(slices.Repeat([]NodeResult{{Node: "well", OK: true}}, 500), NodeResult{Node: "ill"})}, 1, true, false,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			text := tc.outcome.Encode(MaxOutcome)
			if len(text) > MaxOutcome {
				t.Fatalf("%d bytes, want at most %d", len(text), MaxOutcome)
			}
			got, err := DecodeOutcome(text)
			if err != nil {
				t.Fatal(err)
			}
			if got.OK != tc.outcome.OK || len(got.Errors) < tc.wantErrors || (len(got.Nodes) > 0) != tc.wantNodes || (len(got.Notes) > 0) != tc.wantNotes {
				t.Errorf("got %d errors, %d nodes, %d notes of %d bytes", len(got.Errors), len(got.Nodes), len(got.Notes), len(text))
			}
			for _, text := range got.Errors {
				if strings.ContainsRune(text, '\uFFFD') {
					t.Errorf("a letter was cut in two: %q", text)
				}
			}
		})
	}
	if _, err := DecodeOutcome([]byte("panic: no such thing")); err == nil {
		t.Error("the last words of another program were taken for an outcome")
	}
}

func TestScenariosAreFoundByTheNamesOfKuberhealthysImages(t *testing.T) {
	for _, image := range []string{
		"dns-resolution-check", "pod-restarts-check", "pod-status-check", "http-check", "http-content-check", "ssl-expiry-check",
		"ssl-handshake-check", "network-connection-check", "resource-quota-check", "cronjob-checker", "test-check",
	} {
		if _, ok := All.Find(image); !ok {
			t.Errorf("no scenario stands in for %s", image)
		}
	}
	for _, s := range All.All() {
		if s.Doc == "" || s.Time <= 0 || s.Run == nil {
			t.Errorf("%s has no doc, time or run", s.Name)
		}
		for _, o := range s.Options {
			if o.Name == "" || o.Doc == "" {
				t.Errorf("%s has an option without name or doc: %+v", s.Name, o)
			}
		}
		for _, rule := range slices.Concat(s.Access, s.ClusterAccess) {
			if slices.ContainsFunc(slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), func(w string) bool { return strings.Contains(w, "*") }) {
				t.Errorf("%s wants a wildcard: %+v", s.Name, rule)
			}
		}
	}
}

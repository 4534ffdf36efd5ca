package report

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestColumns(t *testing.T) {
	cases := map[string]struct {
		text string
		want int
	}{
		"Latin letters take one column":              {"kubelet", 7},
		"Hangul syllables take two":                  {"노드 w1", 7},
		"Chinese characters take two":                {"节点", 4},
		"the marks in the margin take one":           {"✓✗└├·", 5},
		"a combining mark joins what stands before":  {"e\u0301", 1},
		"a joiner takes none":                        {"a\u200db", 2},
		"full-width forms take two":                  {"Ａ", 2},
		"half-width forms take one":                  {"ｱ", 1},
		"nothing takes nothing":                      {"", 0},
		"an emoji that is wide by default takes two": {"🚀", 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := columns(tc.text); got != tc.want {
				t.Errorf("columns(%q) = %d, want %d", tc.text, got, tc.want)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	cases := map[string]struct {
		text  string
		limit int
		want  []string
	}{
		"breaks at words":                     {"one two three", 8, []string{"one two", "three"}},
		"fills a line to its last column":     {"one two", 7, []string{"one two"}},
		"a long word stays whole":             {"a registry.example/shop/front:2.4.1 b", 10, []string{"a", "registry.example/shop/front:2.4.1", "b"}},
		"counts wide characters as two":       {"노드 노드 노드", 9, []string{"노드 노드", "노드"}},
		"what is longer than a name is cut":   {"a " + strings.Repeat("x", 290) + " b", 100, []string{"a", strings.Repeat("x", 100), strings.Repeat("x", 100), strings.Repeat("x", 90) + " b"}},
		"wide ones are cut at whole letters":  {strings.Repeat("한", 100), 99, []string{strings.Repeat("한", 49), strings.Repeat("한", 49), "한한"}},
		"runs of spaces are one":              {"one   two", 20, []string{"one two"}},
		"nothing but spaces makes no line":    {"   ", 20, nil},
		"a limit below zero breaks each word": {"one two", -3, []string{"one", "two"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, wrap(tc.text, tc.limit)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAge(t *testing.T) {
	cases := map[string]struct {
		age    time.Duration
		wantEN string
		wantKO string
	}{
		"seconds":                           {42 * time.Second, "42 s", "42초"},
		"minutes":                           {40*time.Minute + 59*time.Second, "40 min", "40분"},
		"an hour and minutes":               {80 * time.Minute, "1 h 20 min", "1시간 20분"},
		"a whole hour":                      {time.Hour, "1 h", "1시간"},
		"hours":                             {26 * time.Hour, "26 h", "26시간"},
		"days":                              {73 * time.Hour, "3 days", "3일"},
		"a future time, from another clock": {-time.Minute, "0 s", "0초"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := english.age(tc.age); got != tc.wantEN {
				t.Errorf("in English %q, want %q", got, tc.wantEN)
			}
			if got := korean.age(tc.age); got != tc.wantKO {
				t.Errorf("in Korean %q, want %q", got, tc.wantKO)
			}
		})
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

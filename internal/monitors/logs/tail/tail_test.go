package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, f *File) string {
	t.Helper()
	var out []string
	if _, err := f.Read(1<<20, func(line []byte) { out = append(out, string(line)) }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ",")
}

func TestAFileIsFollowedWhateverBecomesOfIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	write(t, path, "one\ntwo\nhal")
	f, err := From(path, nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	steps := []struct {
		doing string
		do    func()
		want  string
		lost  int64
	}{
		{"whole lines only", func() {}, "one,two", 0},
		{"nothing new", func() {}, "", 0},
		{"the rest of a half line", func() { add(t, path, "f\r\nmore\n") }, "half,more", 0},
		{"renamed, with lines in both", func() {
			add(t, path, "old\n")
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			write(t, path, "new\n")
		}, "old,new", 0},
		{"gone", func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "", 0},
		{"there again", func() { write(t, path, "again\n") }, "again", 0},
		{"copied and cut", func() {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			add(t, path, "c\n")
		}, "c", 1},
		{"a line that is too long", func() { add(t, path, "a"+strings.Repeat("x", MaxLine+100)+"\nb\n") }, "a" + strings.Repeat("x", MaxLine-1) + ",b", 2},
	}
	for _, s := range steps {
		s.do()
		if got := read(t, f); got != s.want || f.Lost() != s.lost {
			t.Fatalf("%s: %.80q, lost %d; want %.80q, %d", s.doing, got, f.Lost(), s.want, s.lost)
		}
	}
}

func TestACheckpointOutlivesTheProcess(t *testing.T) {
	tests := map[string]struct {
		meanwhile func(t *testing.T, path string)
		want      string
		lost      int64
	}{
		"nothing happened": {func(*testing.T, string) {}, "", 0},
		"lines were added": {func(t *testing.T, path string) { add(t, path, "two\n") }, "two", 0},
		"rotated by renaming": {func(t *testing.T, path string) {
			add(t, path, "two\n")
			rename(t, path, path+".1")
			write(t, path, "three\n")
		}, "two,three", 0},
		"rotated and packed away": {func(t *testing.T, path string) { rename(t, path, path+".1.gz"); write(t, path, "three\n") }, "three", 1},
		"cut":                     {func(t *testing.T, path string) { write(t, path, "") }, "", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "messages")
			write(t, path, "one\n")
			f, err := From(path, nil, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, f); got != "one" {
				t.Fatalf("at first %q", got)
			}
			at := f.Checkpoint()
			f.Close()
			tc.meanwhile(t, path)
			f, err = From(path, &at, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if got := read(t, f); got != tc.want || f.Lost() != tc.lost {
				t.Errorf("%q, lost %d; want %q, %d", got, f.Lost(), tc.want, tc.lost)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheEndOfALargeFileIsReadAtFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	write(t, path, strings.Repeat("old\n", 1000)+"new 1\nnew 2\n")
	f, err := From(path, nil, 9)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := read(t, f); got != "new 2" {
		t.Errorf("%q, want the last whole line", got)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	if _, err := From(t.TempDir(), nil, 0); err == nil {
		t.Error("a folder was followed")
	}
	if _, err := From(filepath.Join(t.TempDir(), "none"), nil, 0); !os.IsNotExist(err) {
		t.Errorf("of a file that is not there: %v", err)
	}
}

func TestAFloodIsReadInParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "messages")
	write(t, path, strings.Repeat("a line of a flood\n", 100_000))
	f, err := From(path, nil, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, parts := 0, 0
	for more := true; more; parts++ {
		if more, err = f.Read(256<<10, func([]byte) { lines++ }); err != nil {
			t.Fatal(err)
		}
	}
	if lines != 100_000 || parts < 4 {
		t.Errorf("%d lines in %d parts", lines, parts)
	}
}

func TestTimesAreTakenOffLines(t *testing.T) {
	newYear := time.Date(2027, 1, 1, 0, 5, 0, 0, time.UTC)
	tests := map[string]struct {
		line string
		now  time.Time
		want string
		rest string
	}{
		"RFC 3339":                         {"2026-11-21T10:00:00.5+01:00 w1 kernel: x", newYear, "2026-11-21T09:00:00.5Z", "w1 kernel: x"},
		"RFC 3164":                         {"Nov 21 10:00:00 w1 kernel: x", time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC), "2026-11-21T10:00:00Z", "w1 kernel: x"},
		"a day of one digit":               {"Nov  1 10:00:00 w1 x", time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC), "2026-11-01T10:00:00Z", "w1 x"},
		"December, read in January":        {"Dec 31 23:59:59 w1 x", newYear, "2026-12-31T23:59:59Z", "w1 x"},
		"January, by a clock that is late": {"Jan  1 00:00:01 w1 x", newYear.Add(-10 * time.Minute), "2027-01-01T00:00:01Z", "w1 x"},
		"a leap day":                       {"Feb 29 12:00:00 w1 x", time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), "2028-02-29T12:00:00Z", "w1 x"},
		"no time":                          {"just a line that begins with words", newYear, "", "just a line that begins with words"},
		"empty":                            {"", newYear, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at, rest, ok := Stamp(tc.line, tc.now)
			got := ""
			if ok {
				got = at.Format(time.RFC3339Nano)
			}
			if diff := cmp.Diff([]string{tc.want, tc.rest}, []string{got, rest}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

package checker

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/maek-dev/maek/internal/synthetic"
)

func TestVolume(t *testing.T) {
	tests := map[string]struct {
		// file that is written.
		file func(folder string) string
		want int
	}{
		"what was written is read": {
			file: func(folder string) string { return filepath.Join(folder, "f") },
		},
		"a folder that is not there": {
			file: func(folder string) string { return filepath.Join(folder, "no", "f") },
			want: ExitFailed,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o, words := volumeOptions(t)
			file := tc.file(t.TempDir())
			if got := Run(t.Context(), withArgs(o, "write", file, "hello")); got != tc.want {
				t.Fatalf("write ended with %d, want %d", got, tc.want)
			}
			if tc.want != ExitOK {
				if got, want := words(), "writing "+file+": open "+file+": no such file or directory"; got != want {
					t.Errorf("last words %q, want %q", got, want)
				}
				return
			}
			if got := Run(t.Context(), withArgs(o, "read", file, "hello")); got != ExitOK {
				t.Errorf("read ended with %d", got)
			}
			if got := Run(t.Context(), withArgs(o, "read", file, "other")); got != ExitFailed {
				t.Errorf("reading another text ended with %d", got)
			}
			if got, want := words(), file+` holds "hello", and "other" was written to it`; got != want {
				t.Errorf("last words %q, want %q", got, want)
			}
		})
	}
}

func withArgs(o Options, args ...string) Options {
	o.Args = append([]string{"maek-checker"}, args...)
	return o
}

func volumeOptions(t *testing.T) (o Options, words func() string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{TerminationLog: log, Stdout: io.Discard, Log: slog.New(slog.DiscardHandler), Catalog: new(synthetic.Catalog)}, func() string {
		content, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

//go:build unix

package monitor

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// TestReadFile tries what may stand where a file is expected. A pipe nobody writes to keeps whoever opens
// it in the usual way.
func TestReadFile(t *testing.T) {
	const limit = 100 << 10
	tests := map[string]struct {
		make    func(path string) error
		want    string
		wantErr string
	}{
		"a file":                 {make: func(path string) error { return os.WriteFile(path, []byte("text"), 0o600) }, want: "text"},
		"a pipe":                 {make: func(path string) error { return syscall.Mkfifo(path, 0o600) }, wantErr: "it is not a regular file"},
		"a folder":               {make: func(path string) error { return os.Mkdir(path, 0o700) }, wantErr: "it is not a regular file"},
		"a link to itself":       {make: func(path string) error { return os.Symlink("file", path) }, wantErr: "too many levels of symbolic links"},
		"a link out of the root": {make: func(path string) error { return os.Symlink("../../../../../../dev/zero", path) }, wantErr: "no such file"},
		"nothing":                {make: func(string) error { return nil }, wantErr: "no such file"},
		"a file of a terabyte": {make: func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		}, wantErr: "it is longer than"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := Host{Root: t.TempDir()}
			if err := tc.make(filepath.Join(host.Root, "file")); err != nil {
				t.Fatal(err)
			}
			got, err := host.ReadFile("/file", limit)
			if string(got) != tc.want || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("%q, %v; want %q, %q", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

// TestWhatIsKeptIsBounded floods a report through one monitor.
func TestWhatIsKeptIsBounded(t *testing.T) {
	flood := make([]snapshot.MachineEvidence, 0, 100_000)
	for range cap(flood) {
		flood = append(flood, Value("disk/root/used-percent", "41"))
	}
	tests := map[string]struct {
		evidence []snapshot.MachineEvidence
		err      error
		wantGaps []string
		wantKept int
	}{
		"more values than there is room for": {evidence: flood, wantKept: evidenceBytes / len("disk/root/used-percent41"), wantGaps: []string{"it gives 100000 values, which are more than 1024 KiB: 56310 of them are left out"}},
		"a name without end":                 {evidence: []snapshot.MachineEvidence{Value(snapshot.KeyOf("disk", strings.Repeat("x", 5000), "used-percent"), "1")}, wantGaps: []string{"the name in key disk/" + strings.Repeat("x", 95) + "… is too long"}},
		"a time that cannot be written":      {evidence: []snapshot.MachineEvidence{{Key: "disk/root/used-percent", Value: "1", At: new(metav1.NewTime(time.Unix(1<<40, 0)))}}, wantKept: 1},
		"colours of a terminal":              {err: plainError("\x1b[31mred\x1b[0m"), wantGaps: []string{"\ufffd[31mred\ufffd[0m"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := &watched{Monitor: Monitor{Name: "disk", Keys: diskKeys}}
			m.keep(func() time.Time { return time.Unix(0, 0) }, seen{tc.evidence, tc.err})
			if len(m.evidence) != tc.wantKept || strings.Join(m.gaps, "|") != strings.Join(tc.wantGaps, "|") {
				t.Errorf("%d values, gaps %q; want %d, %q", len(m.evidence), m.gaps, tc.wantKept, tc.wantGaps)
			}
			for _, e := range m.evidence {
				if e.At != nil {
					t.Errorf("%s is of %s", e.Key, e.At)
				}
			}
		})
	}
}

type plainError string

func (e plainError) Error() string { return string(e) }

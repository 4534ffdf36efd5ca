package pressure_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/pressure"
)

func TestObserve(t *testing.T) {
	cases := map[string]struct {
		files   map[string]string
		want    map[string]string
		wantErr string
	}{
		"recorded on a machine that is busy": {
			files: map[string]string{
				"cpu":    "some avg10=7.58 avg60=7.48 avg300=8.44 total=9272888429\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
				"memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
			},
			want: map[string]string{
				"pressure/cpu/some/avg10": "7.58", "pressure/cpu/some/avg60": "7.48", "pressure/cpu/some/avg300": "8.44",
				"pressure/cpu/full/avg10": "0", "pressure/cpu/full/avg60": "0", "pressure/cpu/full/avg300": "0",
				"pressure/memory/some/avg10": "0", "pressure/memory/some/avg60": "0", "pressure/memory/some/avg300": "0",
			},
		},
		"a kernel that does not measure it":  {want: map[string]string{}},
		"a line that is cut short":           {files: map[string]string{"io": "some avg10=1.0 avg60"}, want: map[string]string{}, wantErr: "waits for io"},
		"rubbish in place of it":             {files: map[string]string{"io": "\x00\x01\xff\n"}, want: map[string]string{}, wantErr: "not of the kernel's form"},
		"a file that is far longer than one": {files: map[string]string{"io": strings.Repeat("x", 1<<20)}, want: map[string]string{}, wantErr: "longer than"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			folder := filepath.Join(root, "proc", "pressure")
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range tc.files {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			evidence, err := pressure.New(monitor.Host{Root: root}).Observe(t.Context())
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("got error %v, want one with %q", err, tc.wantErr)
			}
			got := map[string]string{}
			for _, e := range evidence {
				got[string(e.Key)] = e.Value
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
		})
	}
}

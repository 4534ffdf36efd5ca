package kmsg

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRecordsAreParsedAsTheKernelWritesThem(t *testing.T) {
	tests := map[string]struct {
		in       string
		want     Record
		facility int
		ok       bool
	}{
		"of the kernel":              {"3,1012,8123456,-;BUG: x\n SUBSYSTEM=pci\n", Record{3, 1012, 8123456 * time.Microsecond, "BUG: x"}, 0, true},
		"with the caller":            {"6,5,1,-,caller=T1;hello; world\n", Record{6, 5, time.Microsecond, "hello; world"}, 0, true},
		"of a program":               {"12,9,77,-;systemd[1]: x\n", Record{4, 9, 77 * time.Microsecond, "systemd[1]: x"}, 1, true},
		"without a text":             {"6,5,1", Record{}, 0, false},
		"with numbers that are none": {"x,5,1,-;a", Record{}, 0, false},
		"with a time of nobody":      {"6,5,99999999999999999999,-;a", Record{}, 0, false},
		"empty":                      {"", Record{}, 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, facility, ok := parse(tc.in)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok || facility != tc.facility {
				t.Errorf("ok %t, facility %d (-want +got):\n%s", ok, facility, diff)
			}
		})
	}
}

func TestWhatIsNoDeviceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	if _, err := Open(path); !os.IsNotExist(err) && err == nil {
		t.Error("a device that is not there was opened")
	}
	if err := os.WriteFile(path, []byte("6,5,1,-;a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a file was opened as a device")
	}
}

func TestTheKernelsOwnLogIsReadInOrder(t *testing.T) {
	r, err := Open("/dev/kmsg")
	if err != nil {
		t.Skipf("the kernel's log cannot be read here: %v", err)
	}
	defer r.Close()
	last, n := uint64(0), 0
	for n < 5000 {
		record, ok, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if n > 0 && record.Seq <= last || record.Text == "" && record.Seq == 0 && n > 0 {
			t.Fatalf("record %d after %d: %+v", record.Seq, last, record)
		}
		last = record.Seq
		n++
	}
}

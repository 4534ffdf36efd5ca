package reboots

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// record makes a record of wtmp.
func record(l layout, kind uint16, user string, at time.Time) []byte {
	r := make([]byte, l.size)
	binary.LittleEndian.PutUint16(r, kind)
	copy(r[8:], "~")
	copy(r[40:], "~~")
	copy(r[44:], user)
	copy(r[76:], "6.1.0-amd64")
	if l.width == 4 {
		binary.LittleEndian.PutUint32(r[l.seconds:], uint32(at.Unix()))
	} else {
		binary.LittleEndian.PutUint64(r[l.seconds:], uint64(at.Unix()))
	}
	return r
}

func wtmp(l layout, marks ...mark) []byte {
	var out []byte
	for _, m := range marks {
		if m.boot {
			out = append(out, record(l, bootTime, "reboot", m.at)...)
			out = append(out, record(l, runLevel, "runlevel", m.at)...)
			out = append(out, record(l, 7, "root", m.at.Add(time.Second))...)
			continue
		}
		out = append(out, record(l, runLevel, "shutdown", m.at)...)
	}
	return out
}

// store keeps what a monitor remembers in memory.
type store map[string][]byte

func (s store) Load(name string) ([]byte, error) {
	data, ok := s[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func (s store) Save(name string, data []byte) error {
	s[name] = data
	return nil
}

func machine(t *testing.T, files map[string][]byte) monitor.Host {
	t.Helper()
	root := t.TempDir()
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return monitor.Host{Root: root, Now: func() time.Time { return noon }, Store: store{}}
}

func proc(id string, booted time.Time) map[string][]byte {
	return map[string][]byte{
		"proc/sys/kernel/random/boot_id": []byte(id + "\n"),
		"proc/stat":                      []byte("cpu  1 2 3\nbtime " + strconv.FormatInt(booted.Unix(), 10) + "\nprocesses 1\n"),
	}
}

func observe(t *testing.T, host monitor.Host) map[snapshot.EvidenceKey]string {
	t.Helper()
	evidence, err := New(host).Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[snapshot.EvidenceKey]string{}
	for _, e := range evidence {
		out[e.Key] = e.Value
	}
	return out
}

func TestBootsAreReadFromBothLayoutsOfWtmp(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes-600) * time.Minute) }
	tests := map[string]struct {
		marks []mark
		want  map[snapshot.EvidenceKey]string
	}{
		"the first boot": {[]mark{{true, at(590)}}, map[snapshot.EvidenceKey]string{"boot/reboots-24h": "0", "boot/unclean-24h": "0"}},
		"ordered":        {[]mark{{true, at(0)}, {false, at(580)}, {true, at(590)}}, map[snapshot.EvidenceKey]string{"boot/reboots-24h": "1", "boot/unclean-24h": "0", "boot/previous/how": "clean"}},
		"crashed":        {[]mark{{true, at(0)}, {true, at(590)}}, map[snapshot.EvidenceKey]string{"boot/reboots-24h": "1", "boot/unclean-24h": "1", "boot/previous/how": "unclean"}},
		"crashed twice, ordered once": {
			[]mark{{true, at(0)}, {true, at(100)}, {false, at(200)}, {true, at(210)}, {true, at(590)}},
			map[snapshot.EvidenceKey]string{"boot/reboots-24h": "3", "boot/unclean-24h": "2", "boot/previous/how": "unclean"},
		},
		"crashed the day before yesterday": {
			[]mark{{true, at(-5000)}, {true, at(-3000)}},
			map[snapshot.EvidenceKey]string{"boot/reboots-24h": "0", "boot/unclean-24h": "0", "boot/previous/how": "unclean"},
		},
	}
	for name, tc := range tests {
		for arch, l := range map[string]layout{"x86-64": compatible, "aarch64": wide} {
			t.Run(name+" on "+arch, func(t *testing.T) {
				files := proc("11111111-2222-3333-4444-555555555555", tc.marks[len(tc.marks)-1].at)
				files["var/log/wtmp"] = append(wtmp(l, tc.marks...), "cut short"...)
				got := observe(t, machine(t, files))
				for key, want := range tc.want {
					if got[key] != want {
						t.Errorf("%s is %q, want %q", key, got[key], want)
					}
				}
			})
		}
	}
}

func TestBootsOfTheImageAreNotTheMachines(t *testing.T) {
	files := proc("11111111-2222-3333-4444-555555555555", noon.Add(-time.Hour))
	files["var/log/wtmp"] = wtmp(compatible, mark{true, noon.Add(-20 * time.Hour)}, mark{true, noon.Add(-time.Hour)})
	files["etc/machine-id"] = []byte("e997dce732bb44d5975f51dd72c44276\n")
	host := machine(t, files)
	if err := os.Chtimes(filepath.Join(host.Root, "etc/machine-id"), noon, noon.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := observe(t, host); got["boot/unclean-24h"] != "0" || got["boot/previous/how"] != "" {
		t.Errorf("a new machine had a boot before: %v", got)
	}
}

func TestTheJournalTellsHowBootsEnded(t *testing.T) {
	f, err := os.Open("testdata/three-boots.journal.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	files := proc(strings.Repeat("3", 32), noon.Add(-24*time.Hour))
	files["var/log/journal/e997dce732bb44d5975f51dd72c44276/system.journal"] = data
	files["etc/machine-id"] = []byte("e997dce732bb44d5975f51dd72c44276\n")
	host := machine(t, files)
	host.Now = func() time.Time { return time.UnixMicro(1795251000000000) }
	want := map[snapshot.EvidenceKey]string{
		"boot/id": strings.Repeat("3", 32), "boot/started": "2026-11-21T08:44:28Z", "boot/reboots-24h": "2", "boot/unclean-24h": "1",
		"boot/previous/how": "unclean", "boot/previous/started": "2026-11-21T08:34:25Z", "boot/previous/last-line": "the last word", "boot/journal": "persistent",
	}
	if diff := cmp.Diff(want, observe(t, host)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What was seen is known when the journal is gone.
	if err := os.RemoveAll(filepath.Join(host.Root, "var/log")); err != nil {
		t.Fatal(err)
	}
	delete(want, "boot/previous/last-line")
	want["boot/journal"] = "none"
	if diff := cmp.Diff(want, observe(t, host)); diff != "" {
		t.Errorf("without the journal (-want +got):\n%s", diff)
	}
}

func TestAMachineOfTheLabBootedOnce(t *testing.T) {
	data, err := os.ReadFile("testdata/booted-once.wtmp")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "wtmp")
	for cut := range len(data) + 1 {
		if err := os.WriteFile(path, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		marks, err := readWtmp(path)
		if want := min(1, cut/compatible.size); len(marks) != want || err != nil && cut >= compatible.size {
			t.Fatalf("cut to %d bytes: %v, %v; want %d boots", cut, marks, err, want)
		}
	}
}

func TestRubbishIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wtmp")
	if err := os.WriteFile(path, []byte(strings.Repeat("rubbish ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if marks, err := readWtmp(path); err == nil {
		t.Errorf("rubbish was read: %v", marks)
	}
}

func TestWhatCrashesLeaveIsTold(t *testing.T) {
	files := proc("11111111-2222-3333-4444-555555555555", noon.Add(-time.Hour))
	files["sys/fs/pstore/dmesg-efi_pstore-1"] = []byte("Panic#1")
	files["var/crash/202611210900/vmcore"] = []byte("core")
	files["var/crash/_usr_bin_top.0.crash"] = []byte("a program's")
	got := observe(t, machine(t, files))
	var paths []string
	for key, value := range got {
		if key.Fits("boot/crash/*") {
			paths = append(paths, value)
		}
	}
	if len(paths) != 2 || got[snapshot.KeyOf("boot", "crash", "/sys/fs/pstore/dmesg-efi_pstore-1")] == "" || got[snapshot.KeyOf("boot", "crash", "/var/crash/202611210900")] == "" {
		t.Errorf("%v", paths)
	}
}

func TestAHostWithoutProcIsAGap(t *testing.T) {
	if evidence, err := New(machine(t, nil)).Observe(t.Context()); err == nil {
		t.Errorf("nothing could be read, and %v was said", evidence)
	}
}

func TestADatabaseThatIsNotReadIsAGap(t *testing.T) {
	files := proc("11111111-2222-3333-4444-555555555555", noon.Add(-time.Hour))
	files["var/lib/wtmpdb/wtmp.db"] = []byte("SQLite format 3\x00")
	if evidence, err := New(machine(t, files)).Observe(t.Context()); err == nil || len(evidence) == 0 {
		t.Errorf("%v, %v; want a gap beside what is known of the present boot", evidence, err)
	}
}

package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/maek-dev/maek/internal/monitor"
)

// cutTo is a journal as it was when it had only its first n entries, while journald had it open.
func cutTo(data []byte, n int) []byte {
	out := bytes.Clone(data)
	out[16] = 1 // STATE_ONLINE
	binary.LittleEndian.PutUint64(out[152:], uint64(n))
	binary.LittleEndian.PutUint64(out[160:], binary.LittleEndian.Uint64(out[168:])+uint64(n)-1)
	return out
}

func TestReaderFollowsAFileThatGrowsIsRotatedAndVacuumed(t *testing.T) {
	host, dir := folder(t)
	archived, active := unzip(t, "archived.journal.gz"), unzip(t, "active.journal.gz")
	before, after := parseExport(t, unzip(t, "archived.export.gz")), parseExport(t, unzip(t, "active.export.gz"))
	current := filepath.Join(dir, "system.journal")
	write(t, current, cutTo(archived, 3))
	r, err := Of(host).Read(Query{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	step := func(doing string, want []exported) {
		t.Helper()
		if err := errors.Join(r.Refresh(), r.Err()); err != nil {
			t.Fatalf("%s: %v", doing, err)
		}
		if diff := gocmp.Diff(slices.Clip(want), drain(r)); diff != "" && len(want) > 0 {
			t.Fatalf("%s (-want +got):\n%s", doing, diff)
		}
	}
	step("at first", before[:3])
	step("nothing new", nil)
	write(t, current, cutTo(archived, 6))
	step("three more", before[3:6])
	write(t, current, archived)
	old := filepath.Join(dir, "system@1.journal")
	if err := os.Rename(current, old); err != nil {
		t.Fatal(err)
	}
	write(t, current, cutTo(active, 2))
	step("rotated", slices.Concat(before[6:], after[:2]))
	if err := os.Remove(old); err != nil {
		t.Fatal(err)
	}
	write(t, current, active)
	step("vacuumed", after[2:])
	if err := os.Remove(current); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(); !errors.Is(err, ErrNone) {
		t.Errorf("with no file left: %v, want ErrNone", err)
	}
}

func TestReaderFindsAUnitThatAppearsLater(t *testing.T) {
	host, dir := folder(t)
	data, path := unzip(t, "active.journal.gz"), filepath.Join(dir, "system.journal")
	early := cutTo(data, 1)
	fields := binary.LittleEndian.Uint64(early[120:])
	clear(early[fields : fields+binary.LittleEndian.Uint64(early[128:])])
	write(t, path, early)
	r, err := Of(host).Read(Query{Any: []Match{{{"SYSLOG_IDENTIFIER", "maek-test"}}}, Fields: []string{"MESSAGE"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := len(drain(r))
	write(t, path, data)
	if err := r.Refresh(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for e, ok := r.Next(); ok; e, ok = r.Next() {
		got = append(got, e.Message())
	}
	if want := []string{"after 6", "after 7", "after 8", "after 9"}; first > 0 || gocmp.Diff(want, got) != "" {
		t.Errorf("%d entries, then (-want +got):\n%s", first, gocmp.Diff(want, got))
	}
}

func TestLastLinesAreTheNewestOfAUnit(t *testing.T) {
	host, dir := folder(t)
	write(t, filepath.Join(dir, "system@1.journal"), unzip(t, "archived.journal.gz"))
	write(t, filepath.Join(dir, "system.journal"), unzip(t, "active.journal.gz"))
	tests := map[string]struct {
		n     int
		since time.Time
		want  []string
	}{
		"fewer than there are": {n: 2, want: []string{"after 8", "after 9"}},
		"over two files":       {n: 6, want: []string{"before 4", "before 5", "after 6", "after 7", "after 8", "after 9"}},
		"more than there are":  {n: 100, want: []string{"before 1", "before 2", "before 3", "before 4", "before 5", "after 6", "after 7", "after 8", "after 9"}},
		"none since":           {n: 9, since: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			lines, err := Of(host).Last(t.Context(), []Match{{{"SYSLOG_IDENTIFIER", "maek-test"}}}, tc.n, tc.since)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range lines {
				got = append(got, l.Message)
			}
			if diff := gocmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Of(host).LastLines(ended, "kubelet.service", 3, time.Time{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func TestBootsAreWhatTheEntriesSay(t *testing.T) {
	host, dir := folder(t)
	write(t, filepath.Join(dir, "system.journal"), unzip(t, "compact.journal.gz"))
	write(t, filepath.Join(dir, "system@1.journal~"), unzip(t, "archived.journal.gz"))
	want := map[string][2]time.Time{}
	for _, e := range readAll(t, host, Query{}) {
		c, err := ParseCursor(e.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		span, ok := want[c.Boot.String()]
		if at := moment(c.Realtime); !ok || at.Before(span[0]) {
			span[0] = at
		}
		if at := moment(c.Realtime); at.After(span[1]) {
			span[1] = at
		}
		want[c.Boot.String()] = span
	}
	boots, err := Of(host).Boots()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]time.Time{}
	for _, b := range boots {
		got[b.ID.String()] = [2]time.Time{b.First, b.Last}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-entries +boots):\n%s", diff)
	}
}

func TestWhatCannotBeReadIsToldAndTheRestIsRead(t *testing.T) {
	host, dir := folder(t)
	good := unzip(t, "active.journal.gz")
	future := bytes.Clone(good)
	binary.LittleEndian.PutUint32(future[12:], 1<<5|flagCompact)
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":                   {nil, "it is empty"},
		"no journal":              {bytes.Repeat([]byte("rubbish "), 1000), "it does not begin as one"},
		"cut in the header":       {good[:100], "it is cut short"},
		"cut short":               {good[:300_000], "it is cut short"},
		"written by the future":   {future, "a newer systemd wrote it (incompatible flags 0x20)"},
		"zeros behind a header":   {append(bytes.Clone(good[:264]), make([]byte, 8<<20)...), "damaged"},
		"a header that is ones":   {append(bytes.Clone(good[:120]), bytes.Repeat([]byte{0xff}, 500)...), "damaged"},
		"rubbish behind a header": {append(bytes.Clone(good[:264]), bytes.Repeat([]byte{6, 0, 0, 0, 0, 0, 0, 0}, 1<<20)...), "damaged"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			bad := filepath.Join(dir, "user-1000.journal")
			write(t, filepath.Join(dir, "system.journal"), good)
			write(t, bad, tc.data)
			r, err := Of(host).Read(Query{})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if n := len(drain(r)); n < 8 {
				t.Errorf("%d entries were read, want the 8 of the good file", n)
			}
			if err := r.Err(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if err := r.Refresh(); err != nil || r.Err() == nil {
				t.Errorf("after a refresh: %v, %v; want the file to be told still", err, r.Err())
			}
		})
	}
}

func TestAMachineWithoutAJournalSaysSo(t *testing.T) {
	for name, root := range map[string]string{"no folder": t.TempDir(), "no such host": "/nonexistent"} {
		if _, err := Of(monitor.Host{Root: root}).Read(Query{}); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v, want ErrNone", name, err)
		}
	}
	host, dir := folder(t)
	write(t, filepath.Join(dir, "README"), []byte("not a journal"))
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "evil.journal")); err != nil {
		t.Fatal(err)
	}
	if _, err := Of(host).Boots(); !errors.Is(err, ErrNone) {
		t.Errorf("a folder of other things: %v, want ErrNone", err)
	}
	if _, err := os.Stat(filepath.Join(host.Root, "run")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the test made a volatile journal")
	}
	if err := os.Rename(filepath.Join(host.Root, "var"), filepath.Join(host.Root, "run")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(host.Root, "run/log/journal", machineID, "system.journal"), unzip(t, "active.journal.gz"))
	if persistent, err := Of(host).Persistent(); persistent || err != nil {
		t.Errorf("a journal in /run: persistent %t, %v", persistent, err)
	}
}

func TestEveryCompressionIsUnpacked(t *testing.T) {
	text := []byte("MESSAGE=" + strings.Repeat("a line of a stack that repeats itself\n", 100))
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, lz4.CompressBlockBound(len(text)))
	n, err := lz4.CompressBlock(text, block, nil)
	if err != nil || n == 0 {
		t.Fatalf("compressing: %d, %v", n, err)
	}
	var xzed bytes.Buffer
	w, err := xz.NewWriter(&xzed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		flag   byte
		packed []byte
	}{
		"zstd": {compressedZstd, z.EncodeAll(text, nil)},
		"lz4":  {compressedLZ4, append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), block[:n]...)},
		"xz":   {compressedXZ, xzed.Bytes()},
	} {
		for _, limit := range []int{65, 1000, 100_000} {
			u := &unpacker{}
			got, err := u.unpack(tc.flag, bytes.NewReader(tc.packed), int64(len(tc.packed)), int64(limit))
			if err != nil || !bytes.Equal(got, text[:min(limit, len(text))]) {
				t.Errorf("%s up to %d: %d bytes, %v", name, limit, len(got), err)
			}
			for cut := range tc.packed {
				if got, err := u.unpack(tc.flag, bytes.NewReader(tc.packed[:cut]), int64(cut), 1<<20); err == nil && len(got) == len(text) && cut < len(tc.packed)/2 {
					t.Errorf("%s cut to %d bytes was unpacked wholly", name, cut)
				}
			}
			u.close()
		}
	}
}

// FuzzReader changes bytes of real files: nothing may panic, loop, or read without end.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"compact", "regular", "active"} {
		data := unzip(f, name+".journal.gz")
		for _, at := range []uint32{152, 176, 264, 5000, 200_000, 800_000} {
			f.Add(name, at, []byte{0xff, 0x01}, uint32(len(data)))
		}
	}
	files := map[string][]byte{}
	for _, name := range []string{"compact", "regular", "active"} {
		// The end of a file of 8 MiB is empty.
		files[name] = unzip(f, name+".journal.gz")[:2<<20]
	}
	f.Fuzz(func(t *testing.T, name string, at uint32, change []byte, length uint32) {
		whole, ok := files[name]
		if !ok {
			whole, at = append(bytes.Clone(files["active"][:264]), change...), 264
		}
		data := bytes.Clone(whole)
		if int(at) < len(data) {
			copy(data[at:], change)
		}
		data = data[:min(int(length), len(data))]
		file, err := newFile(bytes.NewReader(data))
		if err != nil {
			return
		}
		defer file.unpacker.close()
		for _, q := range []Query{{}, {Any: Unit("kubelet.service")}, {Backward: true}} {
			w, err := newWalk(file, &q)
			if err != nil {
				continue
			}
			if w.seek(func(e entryHead) bool { return e.seqnum > 5 }) != nil {
				continue
			}
			for n := 0; ; n++ {
				head, more, err := w.peek()
				if err != nil || !more {
					break
				}
				if n > len(data)/8 {
					t.Fatalf("%d entries in %d bytes", n, len(data))
				}
				if _, err := file.fields(head, q.wanted(), 1<<10); err != nil {
					break
				}
				if w.skip() != nil {
					break
				}
			}
		}
		boots := map[ID]*Boot{}
		_ = file.values("_BOOT_ID", func(offset int64, _ string) (bool, error) {
			_, err := file.entriesOf(offset)
			return len(boots) < 100, err
		})
	})
}

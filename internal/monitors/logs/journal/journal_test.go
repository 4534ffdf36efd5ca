package journal

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maek-dev/maek/internal/monitor"
)

const machineID = "e997dce732bb44d5975f51dd72c44276"

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
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
	return data
}

// folder makes a host with an empty journal, and returns the journal's folder.
func folder(t testing.TB) (monitor.Host, string) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "var/log/journal", machineID)
	for _, d := range []string{dir, filepath.Join(root, "etc")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc/machine-id"), []byte(machineID+"\n"))
	return monitor.Host{Root: root}, dir
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// exported is an entry as journalctl exports it: the cursor, and all fields in order of their names.
type exported struct {
	Cursor string
	Fields []Field
}

// parseExport reads journalctl's export format (https://systemd.io/JOURNAL_EXPORT_FORMATS/).
func parseExport(t testing.TB, data []byte) []exported {
	t.Helper()
	var out []exported
	var e exported
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		if len(line) == 0 {
			out, e = append(out, e.sorted()), exported{}
			continue
		}
		name, value, text := strings.Cut(string(line), "=")
		if !text {
			n := binary.LittleEndian.Uint64(data)
			value, data = string(data[8:8+n]), data[8+n+1:]
		}
		switch {
		case name == "__CURSOR":
			e.Cursor = value
		case !strings.HasPrefix(name, "__") && !isOfEntry(name):
			e.Fields = append(e.Fields, Field{name, value})
		}
	}
	return out
}

// isOfEntry tells of a field that journalctl takes from the entry and also finds among its fields.
func isOfEntry(name string) bool { return name == "_BOOT_ID" }

func (e exported) sorted() exported {
	slices.SortFunc(e.Fields, func(a, b Field) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value)) })
	return e
}

func export(e Entry) exported {
	fields := slices.DeleteFunc(e.Fields(), func(f Field) bool { return isOfEntry(f.Name) })
	return exported{Cursor: e.String(), Fields: fields}.sorted()
}

func readAll(t testing.TB, host monitor.Host, q Query) []exported {
	t.Helper()
	r, err := Of(host).Read(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := drain(r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func drain(r *Reader) []exported {
	var out []exported
	for e, ok := r.Next(); ok; e, ok = r.Next() {
		out = append(out, export(e))
	}
	return out
}

func TestReaderGivesWhatJournalctlExports(t *testing.T) {
	for _, name := range []string{"compact", "keyed", "regular", "archived", "active"} {
		t.Run(name, func(t *testing.T) {
			host, dir := folder(t)
			write(t, filepath.Join(dir, "system.journal"), unzip(t, name+".journal.gz"))
			want := parseExport(t, unzip(t, name+".export.gz"))
			if len(want) < 8 {
				t.Fatalf("only %d entries were exported", len(want))
			}
			if diff := gocmp.Diff(want, readAll(t, host, Query{})); diff != "" {
				t.Errorf("forwards (-want +got):\n%s", diff)
			}
			slices.Reverse(want)
			if diff := gocmp.Diff(want, readAll(t, host, Query{Backward: true})); diff != "" {
				t.Errorf("backwards (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReaderFindsByFieldWhatAScanFinds(t *testing.T) {
	host, dir := folder(t)
	write(t, filepath.Join(dir, "system.journal"), unzip(t, "compact.journal.gz"))
	everything := readAll(t, host, Query{})
	for name, tc := range map[string][]Match{
		"a unit, and what systemd says about it":      Unit("kubelet.service"),
		"two units":                                   slices.Concat(Unit("containerd.service"), Unit("kubelet.service")),
		"errors of one writer":                        {{{"SYSLOG_IDENTIFIER", "kubelet"}, {"PRIORITY", "3"}}, {{"SYSLOG_IDENTIFIER", "kubelet"}, {"PRIORITY", "6"}}},
		"what no entry has":                           {{{"_SYSTEMD_UNIT", "crio.service"}}},
		"a field that no entry has":                   {{{"NO_SUCH_FIELD", "1"}}},
		"everything, by a field that every entry has": {{{"_TRANSPORT", "stdout"}}, {{"_TRANSPORT", "journal"}}, {{"_TRANSPORT", "syslog"}}, {{"_TRANSPORT", "kernel"}}},
	} {
		t.Run(name, func(t *testing.T) {
			q := Query{Any: tc}
			want := slices.DeleteFunc(slices.Clone(everything), func(e exported) bool { return !q.wants(e.Fields) })
			if diff := gocmp.Diff(want, readAll(t, host, q), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("forwards (-scan +index):\n%s", diff)
			}
			q.Backward = true
			slices.Reverse(want)
			if diff := gocmp.Diff(want, readAll(t, host, q), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("backwards (-scan +index):\n%s", diff)
			}
		})
	}
}

func TestReaderGoesOnBehindACursorAndAMoment(t *testing.T) {
	host, dir := folder(t)
	write(t, filepath.Join(dir, "system@1.journal"), unzip(t, "archived.journal.gz"))
	write(t, filepath.Join(dir, "system.journal"), unzip(t, "active.journal.gz"))
	everything := readAll(t, host, Query{})
	if want := slices.Concat(parseExport(t, unzip(t, "archived.export.gz")), parseExport(t, unzip(t, "active.export.gz"))); gocmp.Diff(want, everything) != "" {
		t.Fatalf("two files in order (-want +got):\n%s", gocmp.Diff(want, everything))
	}
	for i, e := range everything {
		c, err := ParseCursor(e.Cursor)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(everything[i+1:], readAll(t, host, Query{After: c}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("behind entry %d (-want +got):\n%s", i, diff)
		}
		if diff := gocmp.Diff(everything[i:], readAll(t, host, Query{Since: moment(c.Realtime)})); diff != "" {
			t.Errorf("since entry %d (-want +got):\n%s", i, diff)
		}
	}
}

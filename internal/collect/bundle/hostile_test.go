package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/snapshot"
)

// packed makes a tar archive of entries.
func packed(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		// A header's PAX record "text" is the content of its file, in these tests.
		text := h.PAXRecords["MAEK.text"]
		h.PAXRecords, h.Size, h.Mode = nil, int64(len(text)), 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(name, text string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"MAEK.text": text}}
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func onDisk(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What cannot be used at all is one sentence: what, where, and what to do instead.
func TestBundlesThatAreRefused(t *testing.T) {
	nodes := file("b/nodes.json", list(nodeItem))
	tests := map[string]struct {
		make func(t *testing.T) string
		want string
	}{
		"there is nothing": {
			make: func(t *testing.T) string { return filepath.Join(t.TempDir(), "nothing") },
			want: "no such file or directory",
		},
		"an empty folder": {
			make: func(t *testing.T) string { return t.TempDir() },
			want: `there is nothing in it; give a folder or archive written by "kubectl maek dump"`,
		},
		"a named pipe": {
			make: func(t *testing.T) string {
				path := filepath.Join(t.TempDir(), "pipe.json")
				if err := syscall.Mkfifo(path, 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			},
			want: "it is neither a folder nor a regular file",
		},
		"a device": {
			make: func(*testing.T) string { return os.DevNull },
			want: "it is neither a folder nor a regular file",
		},
		"an empty file": {
			make: func(t *testing.T) string { return onDisk(t, "x.tar.gz", nil) },
			want: "it is an empty file",
		},
		"an empty archive": {
			make: func(t *testing.T) string { return onDisk(t, "x.tar.gz", gzipped(t, packed(t))) },
			want: "there is nothing in it",
		},
		"a picture": {
			make: func(t *testing.T) string { return onDisk(t, "x.png", []byte("\x89PNG\r\n\x1a\n")) },
			want: "it is neither a folder nor a tar archive",
		},
		"gzip of something else": {
			make: func(t *testing.T) string { return onDisk(t, "x.gz", gzipped(t, bytes.Repeat([]byte("hello "), 1000))) },
			want: "it is no tar archive",
		},
		"a gzip header and no more": {
			make: func(t *testing.T) string { return onDisk(t, "x.tar.gz", []byte("\x1f\x8b\x08")) },
			want: "it is no gzip file",
		},
		"a folder without a Kubernetes object": {
			make: func(t *testing.T) string {
				return filepath.Dir(onDisk(t, "values.yaml", []byte("replicas: 3\n")))
			},
			want: "there is no Kubernetes object in it (values.yaml: line 1: no Kubernetes object (it has no apiVersion and kind), skipped)",
		},
		"an entry that climbs out": {
			make: func(t *testing.T) string {
				return onDisk(t, "x.tar.gz", gzipped(t, packed(t, nodes, file("b/../../etc/passwd", "x"))))
			},
			want: `its entry "b/../../etc/passwd" leads outside the archive; it was refused as a whole`,
		},
		"an entry with an absolute name": {
			make: func(t *testing.T) string { return onDisk(t, "x.tar", packed(t, nodes, file("/etc/passwd", "x"))) },
			want: `its entry "/etc/passwd" leads outside the archive`,
		},
		"an entry with a Windows path": {
			make: func(t *testing.T) string { return onDisk(t, "x.tar", packed(t, nodes, file(`..\..\evil`, "x"))) },
			want: "leads outside the archive",
		},
		"a link that leads out": {
			make: func(t *testing.T) string {
				return onDisk(t, "x.tar", packed(t, nodes, tar.Header{Name: "b/l.json", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"}))
			},
			want: `its entry "b/l.json" is a link to "../../etc/passwd", outside the archive`,
		},
		"a hard link that leads out": {
			make: func(t *testing.T) string {
				return onDisk(t, "x.tar", packed(t, nodes, tar.Header{Name: "b/l.json", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}))
			},
			want: `its entry "b/l.json" is a link to "/etc/passwd", outside the archive`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			path := tc.make(t)
			b, err := Open(t.Context(), path)
			if err == nil {
				t.Fatalf("no error; %d kinds, gaps %v", len(b.Snapshot().Kinds()), gapTexts(b))
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "reading bundle "+path+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one sentence about the path with %q", err, tc.want)
			}
		})
	}
}

func TestATruncatedArchiveIsUsedAsFarAsItGoes(t *testing.T) {
	// Text that does not compress keeps the cut inside the second file.
	noise := make([]byte, 200_000)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = 'a' + byte(state>>24)%26
	}
	whole := gzipped(t, packed(t, file("nodes.json", list(nodeItem)), file("noise.txt", string(noise)), file("pods.json", list(podItem, otherItem))))
	b, err := Open(t.Context(), onDisk(t, "x.tar.gz", whole[:len(whole)/2]))
	if err != nil {
		t.Fatal(err)
	}
	s := b.Snapshot()
	want := snapshot.Coverage{State: snapshot.Partial, Reason: "the archive is cut off, and more may have followed", ReadAt: s.Now()}
	if diff := cmp.Diff(want, s.Coverage(nodeKind)); diff != "" || s.Len(nodeKind) != 1 {
		t.Errorf("%d nodes, coverage (-want +got):\n%s", s.Len(nodeKind), diff)
	}
	if c := s.Coverage(podKind); c.State != snapshot.NotCollected {
		t.Errorf("pods: %+v, want not collected", c)
	}
	if gaps := gapTexts(b); len(gaps) != 1 || !strings.Contains(gaps[0], "the archive is cut off or damaged after 2 files") {
		t.Errorf("gaps %q", gaps)
	}
}

func TestATruncatedDumpSaysWhichKindsItLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "whole.tar.gz")
	if err := Write(t.Context(), path, everything(), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	states := map[snapshot.State]int{}
	b, err := Open(t.Context(), onDisk(t, "cut.tar.gz", data[:len(data)*11/20]))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range b.Snapshot().Kinds() {
		states[b.Snapshot().Coverage(k).State]++
	}
	if states[snapshot.Failed] == 0 || states[snapshot.Complete] == 0 {
		t.Errorf("states %v, want kinds that came through and kinds that did not", states)
	}
}

func TestLinksInsideAreNoTrouble(t *testing.T) {
	b, err := Open(t.Context(), onDisk(t, "x.tar", packed(t,
		file("b/nodes.json", list(nodeItem)),
		tar.Header{Name: "b/sub/", Typeflag: tar.TypeDir},
		tar.Header{Name: "b/sub/again.json", Typeflag: tar.TypeSymlink, Linkname: "../nodes.json"},
		tar.Header{Name: "b/pipe", Typeflag: tar.TypeFifo})))
	if err != nil {
		t.Fatal(err)
	}
	if b.Snapshot().Len(nodeKind) != 1 || len(b.Gaps()) > 0 {
		t.Errorf("%d nodes, gaps %v", b.Snapshot().Len(nodeKind), gapTexts(b))
	}
}

func TestLinksOutOfAFolderAreNotFollowed(t *testing.T) {
	outside := onDisk(t, "secret.json", []byte(list(podItem, otherItem)))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nodes.json"), []byte(list(nodeItem)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"pods.json": outside, "same.json": "nodes.json"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if b.Snapshot().Len(podKind) > 0 {
		t.Error("a link out of the folder was followed")
	}
	if diff := cmp.Diff([]string{"pods.json: is a link that leads outside and is not followed"}, gapTexts(b)); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	link := filepath.Join(t.TempDir(), "latest")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), link); err != nil {
		t.Errorf("the bundle itself may be given by a link: %v", err)
	}
}

// endless is a file that never ends.
type endless struct {
	head string
	body byte
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.head) > 0 {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	for i := range p {
		p[i] = e.body
	}
	e.read += int64(len(p))
	return len(p), nil
}

func TestFilesWithoutEndAreGivenUp(t *testing.T) {
	tests := map[string]struct {
		file *endless
		most int64
		want string
	}{
		"one object": {&endless{head: `{"kind":"`, body: 'a'}, 2 * maxObjectBytes, "it holds an object larger than 16 MiB"},
		"one item":   {&endless{head: `{"kind":"List","apiVersion":"v1","items":[{"a":"`, body: 'a'}, 2 * maxObjectBytes, "it holds an object larger than 16 MiB"},
		"nesting":    {&endless{head: `{"a":`, body: '['}, 2 * maxObjectBytes, "exceeded max depth"},
		"YAML":       {&endless{head: "a: ", body: 'b'}, 2 * maxYAMLBytes, "as YAML it is larger than 64 MiB; write it with -o json"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := &objectFile{}
			err := f.read(tc.file)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q in it", err, tc.want)
			}
			if tc.file.read > tc.most {
				t.Errorf("%d bytes were read, want at most %d", tc.file.read, tc.most)
			}
		})
	}
}

func TestMoreObjectsThanAnyClusterHasAreRefused(t *testing.T) {
	r := newReader("x", &gaps{})
	r.objects = maxObjects - 1
	err := r.visit(entry{name: "pods.json", open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(list(podItem, otherItem))), nil
	}})
	if err == nil || err.Error() != "it holds more than 750000 objects, which no bundle needs" {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsBoundedFailsPastItsBound(t *testing.T) {
	for _, tc := range []struct {
		text  string
		bound int64
		want  error
	}{{"abc", 3, nil}, {"abcd", 3, errTooLarge}, {"", 0, nil}} {
		data, err := io.ReadAll(bounded(strings.NewReader(tc.text), tc.bound))
		if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) || int64(len(data)) > tc.bound {
			t.Errorf("%q within %d: %q, error %v", tc.text, tc.bound, data, err)
		}
	}
}

func TestYAMLThatUnfoldsIsRefused(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 9 {
		n := string(rune('0' + i + 1))
		p := string(rune('0' + i))
		bomb.WriteString("a" + n + ": &a" + n + " [" + strings.TrimSuffix(strings.Repeat("*a"+p+",", 10), ",") + "]\n")
	}
	b := opened(t, map[string]string{"nodes.json": list(nodeItem), "bomb.yaml": bomb.String()})
	if gaps := gapTexts(b); len(gaps) != 1 || !strings.Contains(gaps[0], "excessive aliasing") {
		t.Errorf("gaps %q", gaps)
	}
}

func TestManyGapsAreCounted(t *testing.T) {
	files := map[string]string{"nodes.json": list(nodeItem), "evil\x1b[31m.yaml": "a: b"}
	for i := range 2 * maxGaps {
		files[strings.Repeat("x", i+1)+".yaml"] = "a: b"
	}
	gaps := gapTexts(opened(t, files))
	if len(gaps) != maxGaps+1 || !strings.HasPrefix(gaps[maxGaps], "and 31 more") {
		t.Errorf("%d gaps, the last %q", len(gaps), gaps[len(gaps)-1])
	}
	if slices.ContainsFunc(gaps, func(g string) bool { return strings.Contains(g, "\x1b") }) {
		t.Error("a gap carries a terminal's control characters")
	}
}

func TestAnInterruptedReadIsAnError(t *testing.T) {
	path := onDisk(t, "x.tar", packed(t, file("nodes.json", list(nodeItem))))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, p := range []string{path, filepath.Dir(path)} {
		if _, err := Open(ctx, p); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want that it was interrupted", p, err)
		}
	}
}

package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestABusyboxHasACommandForEachOfItsNames holds that a script which begins with #!/bin/sh runs, and that no name leads to
// itself.
func TestABusyboxHasACommandForEachOfItsNames(t *testing.T) {
	says := filepath.Join(t.TempDir(), "busybox")
	if err := os.WriteFile(says, []byte("#!/bin/sh\nprintf 'sh\\nbusybox\\ncat\\n'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	spec, err := Busybox(t.Context(), says)
	if err != nil {
		t.Fatal(err)
	}
	spec.Programs = []string{program(t, "amd64", "busybox")} // the one that was asked is a script
	layers, err := build(t, spec).Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }() // it was only read
	var got []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeSymlink {
			got = append(got, header.Name+" -> "+header.Linkname)
		}
	}
	want := []string{"bin -> usr/local/bin", "usr/local/bin/cat -> busybox", "usr/local/bin/sh -> busybox"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("links, -want +got:\n%s", diff)
	}
}

func TestAProgramThatIsNoBusyboxIsRefused(t *testing.T) {
	_, err := Busybox(t.Context(), filepath.Join(t.TempDir(), "absent"))
	if err == nil || !strings.Contains(err.Error(), "asking") {
		t.Errorf("error %v, want one that says what was asked", err)
	}
}

package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// archive is a bundle in a tar file. It is read from front to back, every time anew, and never
// unpacked.
type archive struct {
	fsys    fs.FS
	name    string
	gzipped bool
}

func (a archive) walk(ctx context.Context, visit func(entry) error) error {
	f, err := a.fsys.Open(a.name)
	if err != nil {
		return plain(err)
	}
	defer func() { _ = f.Close() }()
	var stream io.Reader = f
	if a.gzipped {
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("it is no gzip file: %w", err)
		}
		stream = unzipped
	}
	files := tar.NewReader(bounded(stream, maxArchiveBytes))
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		header, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLarge), n == maxEntries:
			return fmt.Errorf("unpacked it has more than %d GiB or %d files, which no bundle needs; if you trust it, unpack it and give the folder", maxArchiveBytes>>30, maxEntries)
		case err != nil && n == 0:
			return fmt.Errorf("it is no tar archive: %w", err)
		case err != nil:
			return cutOffError{err}
		}
		if err := a.allow(header); err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := visit(entry{name: path.Clean(header.Name), open: func() (io.ReadCloser, error) { return io.NopCloser(files), nil }}); err != nil {
			return err
		}
	}
}

// allow refuses an archive with an entry that unpacking would put, or point, outside. Nothing is
// unpacked here, but who packs such an entry means harm, and the rest deserves no trust either.
func (a archive) allow(h *tar.Header) error {
	if path.IsAbs(h.Name) || leadsOutside(".", h.Name) {
		return fmt.Errorf("its entry %q leads outside the archive; it was refused as a whole", h.Name)
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		if leadsOutside(path.Dir(h.Name), h.Linkname) {
			return fmt.Errorf("its entry %q is a link to %q, outside the archive; it was refused as a whole", h.Name, h.Linkname)
		}
	case tar.TypeLink:
		if leadsOutside(".", h.Linkname) {
			return fmt.Errorf("its entry %q is a link to %q, outside the archive; it was refused as a whole", h.Name, h.Linkname)
		}
	}
	return nil
}

// isArchiveName tells by its name whether a file to write is to be an archive, and whether gzipped.
func isArchiveName(name string) (archive, gzipped bool) {
	name = strings.ToLower(name)
	switch {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return true, true
	case strings.HasSuffix(name, ".tar"):
		return true, false
	}
	return false, false
}

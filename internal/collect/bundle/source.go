package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// entry is one regular file of a bundle.
type entry struct {
	// name is its path inside the bundle, with slashes.
	name string
	// open gives its content. It may be called once, while the entry is visited.
	open func() (io.ReadCloser, error)
}

// source is where a bundle lies. Walking it twice shows the same files.
type source interface {
	// walk visits every regular file. It returns a cutOffError where the files ended early, a refusal
	// where nothing of the bundle may be used, and visit's error.
	walk(ctx context.Context, visit func(entry) error) error
}

// cutOffError tells that a bundle ends before it should; what was visited is good.
type cutOffError struct{ err error }

func (c cutOffError) Error() string { return c.err.Error() }
func (c cutOffError) Unwrap() error { return c.err }

// errTooLarge is the error of reading past a bound.
var errTooLarge = errors.New("it is larger than Maek reads")

// bounded reads at most n bytes and fails on the next.
func bounded(r io.Reader, n int64) io.Reader { return &boundedReader{r: r, left: n} }

type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		if n, err := b.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// untilFull ends a reading where no more objects are taken in.
type untilFull struct {
	r       io.Reader
	objects *int
}

func (u *untilFull) Read(p []byte) (int, error) {
	if *u.objects > maxObjects {
		return 0, errTooLarge
	}
	return u.r.Read(p)
}

// folder is a bundle that lies open.
type folder struct {
	fsys fs.FS
	gaps *gaps
}

func (f folder) walk(ctx context.Context, visit func(entry) error) error {
	return fs.WalkDir(f.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil && name == ".":
			return fmt.Errorf("reading the folder: %w", err)
		case err != nil:
			f.gaps.add(name, "could not be read: %s", "읽지 못했습니다: %s", plain(err))
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			// What a link inside the folder leads to is visited under its own name.
			if target, err := fs.ReadLink(f.fsys, name); err != nil || leadsOutside(path.Dir(name), target) {
				f.gaps.add(name, "is a link that leads outside and is not followed", "밖을 가리키는 링크이므로 따라가지 않습니다")
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		return visit(entry{name: name, open: func() (io.ReadCloser, error) { return f.fsys.Open(name) }})
	})
}

// singleFile is a bundle of one file.
type singleFile struct {
	fsys fs.FS
	name string
}

func (s singleFile) walk(_ context.Context, visit func(entry) error) error {
	return visit(entry{name: path.Base(s.name), open: func() (io.ReadCloser, error) { return s.fsys.Open(s.name) }})
}

// leadsOutside tells whether a link in a folder of the bundle leads out of it.
func leadsOutside(dir, target string) bool {
	if path.IsAbs(target) || strings.Contains(target, `\`) {
		return true
	}
	joined := path.Join(dir, target)
	return joined == ".." || strings.HasPrefix(joined, "../")
}

// sourceOf finds out what lies at a name.
func sourceOf(fsys fs.FS, name string, g *gaps) (source, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, plain(err)
	}
	if info.IsDir() {
		sub, err := fs.Sub(fsys, name)
		if err != nil {
			return nil, plain(err)
		}
		return folder{sub, g}, nil
	}
	if !info.Mode().IsRegular() {
		// Opening a named pipe waits for its writer, and nothing can end that wait.
		return nil, errors.New("it is neither a folder nor a regular file; give a folder, or a file that lies on disk")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = f.Close() }()
	head, _ := bufio.NewReaderSize(f, 512).Peek(512)
	switch {
	case len(head) == 0:
		return nil, errors.New("it is an empty file; give a folder or a .tar.gz archive")
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		return archive{fsys: fsys, name: name, gzipped: true}, nil
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return archive{fsys: fsys, name: name}, nil
	case holdsObjects(name):
		return singleFile{fsys, name}, nil
	default:
		return nil, errors.New("it is neither a folder nor a tar archive; give a folder, a .tar.gz archive, or a .json or .yaml file")
	}
}

// plain leaves out the operation and the path that the file system puts before its errors: the
// sentence around them has both.
func plain(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}

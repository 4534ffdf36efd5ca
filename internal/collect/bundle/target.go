package bundle

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// What a bundle tells about a cluster is for its owner.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// writeFolder makes a folder beside its final name, lets fill put files into it, and renames it once it
// is whole. An empty folder that is there already is filled where it is, for it may be another's to
// rename; what was put into it goes again where filling it fails.
func writeFolder(name string, fill func(target) error) error {
	entries, err := os.ReadDir(name)
	switch {
	case err == nil && len(entries) > 0:
		return ErrThere
	case err == nil:
		if err := fillFolder(name, fill); err != nil {
			return errors.Join(err, emptyFolder(name))
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return plain(err)
	}
	parent := filepath.Dir(name)
	if err := os.MkdirAll(parent, folderMode); err != nil {
		return plain(err)
	}
	made, err := os.MkdirTemp(parent, "."+filepath.Base(name)+"-*")
	if err != nil {
		return plain(err)
	}
	defer func() { _ = os.RemoveAll(made) }()
	if err := fillFolder(made, fill); err != nil {
		return err
	}
	if err := os.Rename(made, name); err != nil {
		if _, there := os.Lstat(name); there == nil {
			return ErrThere // another came first
		}
		return err
	}
	return nil
}

// emptyFolder removes all that is in a folder.
func emptyFolder(name string) error {
	root, err := os.OpenRoot(name)
	if err != nil {
		return plain(err)
	}
	defer func() { _ = root.Close() }()
	entries, err := os.ReadDir(name)
	for _, e := range entries {
		err = errors.Join(err, root.RemoveAll(e.Name()))
	}
	return err
}

// fillFolder lets fill put files into a folder.
func fillFolder(name string, fill func(target) error) error {
	root, err := os.OpenRoot(name)
	if err != nil {
		return plain(err)
	}
	defer func() { _ = root.Close() }()
	return fill(func(file string, write func(io.Writer) error) error {
		if !safeName(file) {
			return fmt.Errorf("%q cannot be a file name", file)
		}
		if err := root.MkdirAll(filepath.Dir(file), folderMode); err != nil {
			return fmt.Errorf("making the folder of %s: %w", file, err)
		}
		f, err := root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return fmt.Errorf("making %s: %w", file, err)
		}
		out := bufio.NewWriterSize(f, 256<<10)
		return errors.Join(write(out), out.Flush(), f.Close())
	})
}

// writeArchive makes an archive beside its final name and renames it once it is whole.
func writeArchive(name string, gzipped bool, at time.Time, fill func(target) error) error {
	if _, err := os.Lstat(name); err == nil {
		return ErrThere
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return plain(err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	err = errors.Join(fillArchive(f, gzipped, at, fill), f.Close())
	if err != nil {
		return err
	}
	// A link, unlike a renaming, does not take the place of what came first in the meantime. Not every
	// file system has links.
	err = os.Link(f.Name(), name)
	if err == nil {
		return nil
	}
	if _, there := os.Lstat(name); there == nil {
		return ErrThere
	}
	return os.Rename(f.Name(), name)
}

func fillArchive(w io.Writer, gzipped bool, at time.Time, fill func(target) error) error {
	out := bufio.NewWriterSize(w, 256<<10)
	var stream io.Writer = out
	finish := func() error { return nil }
	if gzipped {
		zipped := gzip.NewWriter(out)
		stream, finish = zipped, zipped.Close
	}
	files := tar.NewWriter(stream)
	err := fill(func(file string, write func(io.Writer) error) error {
		if !safeName(file) {
			return fmt.Errorf("%q cannot be a file name", file)
		}
		// A tar header holds the size: files are made twice, so that none is ever held as a whole.
		var size counter
		if err := write(&size); err != nil {
			return err
		}
		header := &tar.Header{Name: file, Mode: fileMode, Size: int64(size), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
		return write(files)
	})
	return errors.Join(err, files.Close(), finish(), out.Flush())
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

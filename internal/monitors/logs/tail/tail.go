// Package tail follows text files that grow, are rotated by renaming or by copying and cutting, and
// hold lines of any length. Where it stands is a small checkpoint that outlives the process.
package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/maek-dev/maek/internal/monitor"
)

// MaxLine bounds a line, in bytes; the rest of a longer one is left out.
const MaxLine = 64 << 10

// Checkpoint is where reading of a file stands: behind a whole line.
type Checkpoint struct {
	// File is the number of the file in its file system, so that it is known again when it is renamed.
	// Zero means that the platform does not tell.
	File uint64 `json:"file"`
	// Offset of the next line, in bytes.
	Offset int64 `json:"offset"`
}

// File is a file that is followed. It is not safe for concurrent use.
type File struct {
	path     string
	open     *os.File
	info     fs.FileInfo
	offset   int64
	skipping bool // the rest of a line that was too long
	lost     int64
	buffer   []byte
}

// From follows a file from a checkpoint; nil begins at most back bytes before its end. A file that
// was rotated since is read to its end first, if it is still in the folder and not compressed.
func From(path string, at *Checkpoint, back int64) (*File, error) {
	f := &File{path: path}
	if at == nil {
		return f, f.begin(back)
	}
	if err := f.reopen(path); err != nil {
		return nil, err
	}
	if number(f.info) == at.File {
		f.offset = min(max(0, at.Offset), f.info.Size())
		return f, nil
	}
	// It was rotated while nobody looked: what follows the checkpoint is in the renamed file.
	if old, ok := renamed(path, at.File); ok {
		f.Close()
		if err := f.reopen(old); err != nil {
			return nil, err
		}
		f.offset = min(max(0, at.Offset), f.info.Size())
		return f, nil
	}
	f.lost++
	return f, nil
}

func (f *File) begin(back int64) error {
	if err := f.reopen(f.path); err != nil {
		return err
	}
	if f.offset = f.info.Size() - back; f.offset <= 0 {
		f.offset = 0
		return nil
	}
	// The beginning is most likely in the midst of a line.
	f.skipping = true
	return nil
}

func (f *File) reopen(path string) error {
	open, err := monitor.Open(path)
	if err != nil {
		return err
	}
	info, err := open.Stat()
	if err != nil {
		_ = open.Close()
		return fmt.Errorf("reading %s: %w", path, err)
	}
	f.open, f.info, f.offset, f.skipping = open, info, 0, false
	return nil
}

// renamed looks for a file of a number beside a path.
func renamed(path string, file uint64) (string, bool) {
	if file == 0 {
		return "", false
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Type().IsRegular() && number(info) == file && filepath.Ext(e.Name()) != ".gz" {
			return filepath.Join(filepath.Dir(path), e.Name()), true
		}
	}
	return "", false
}

// Checkpoint is where reading stands now.
func (f *File) Checkpoint() Checkpoint {
	return Checkpoint{File: number(f.info), Offset: f.offset}
}

// Lost counts how often lines were lost: rotated away unread, cut away, or cut for their length.
func (f *File) Lost() int64 { return f.lost }

// Read gives the whole lines that were written since, up to about limit bytes of them, and says
// whether there is more. A line is valid during the call only. The half line at the end of a file
// waits for its rest. A file that is gone gives nothing until it is there again.
func (f *File) Read(limit int64, yield func(line []byte)) (more bool, err error) {
	for limit > 0 {
		n, err := f.drain(limit, yield)
		limit -= n
		if err != nil || limit <= 0 {
			return err == nil, err
		}
		next, err := f.follow()
		if err != nil || !next {
			return false, err
		}
	}
	return true, nil
}

// follow goes over to the file that stands under the path now, when the present one is read.
func (f *File) follow() (bool, error) {
	now, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if f.open != nil && os.SameFile(now, f.info) {
		return false, nil
	}
	f.Close()
	if err := f.reopen(f.path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// drain reads the open file to its end, or up to the limit.
func (f *File) drain(limit int64, yield func([]byte)) (int64, error) {
	if f.open == nil {
		return 0, nil
	}
	info, err := f.open.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", f.path, err)
	}
	if info.Size() < f.offset {
		// It was copied and cut: what was written between is in the copy, and lost to us.
		f.offset, f.skipping = 0, false
		f.lost++
	}
	f.info = info
	if f.buffer == nil {
		f.buffer = make([]byte, MaxLine)
	}
	read := int64(0)
	for read < limit {
		n, err := f.open.ReadAt(f.buffer, f.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return read, fmt.Errorf("reading %s: %w", f.path, err)
		}
		used := f.lines(f.buffer[:n], yield)
		f.offset += int64(used)
		read += int64(used)
		if used == 0 {
			break
		}
	}
	return read, nil
}

// lines gives the whole lines of a buffer and returns how much of it is done.
func (f *File) lines(data []byte, yield func([]byte)) int {
	used := 0
	for {
		line, rest, whole := bytes.Cut(data[used:], []byte("\n"))
		if !whole {
			break
		}
		used = len(data) - len(rest)
		if f.skipping {
			f.skipping = false
			continue
		}
		yield(bytes.TrimSuffix(line, []byte("\r")))
	}
	switch {
	case used > 0:
		return used
	case f.skipping:
		return len(data)
	case len(data) == MaxLine:
		yield(data)
		f.skipping = true
		f.lost++
		return len(data)
	default:
		return 0
	}
}

// Close lets go of the file. Read opens it again, from its beginning if it is another by then.
func (f *File) Close() {
	if f.open != nil {
		_ = f.open.Close()
		f.open = nil
	}
}

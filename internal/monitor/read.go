package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// Open opens a file that can be read to its end. A pipe that stands where a file is expected would keep
// whoever opens it, and to open a device may set it off: both are errors, as a folder is.
func Open(path string) (*os.File, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: %w", path, errNoFile)
	}
	// It may have become a pipe in between.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("reading %s: %w", path, cmp.Or(err, errNoFile)), f.Close())
	}
	return f, nil
}

// errNoFile says that a pipe, a device, a socket or a folder is where a file is expected.
var errNoFile = errors.New("it is not a regular file")

// readUpTo reads a file of at most limit bytes. Files of /proc and /sys say no size beforehand.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	tooLong := fmt.Errorf("reading %s: it is longer than %d bytes", path, limit)
	if info, err := f.Stat(); err == nil && info.Size() > limit && info.Size() > pageSize {
		// Not a byte is read of it. Files of /sys say a page, whatever they hold.
		return nil, tooLong
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, tooLong
	}
	return data, nil
}

// pageSize is at least the size of any machine's pages, in bytes.
const pageSize = 64 << 10

// Int makes evidence of a whole number.
func Int[N int | int32 | int64 | uint32 | uint64](key snapshot.EvidenceKey, n N) snapshot.MachineEvidence {
	return Value(key, fmt.Sprint(n))
}

// Float makes evidence of a number, as short as it can be written.
func Float(key snapshot.EvidenceKey, f float64) snapshot.MachineEvidence {
	return Value(key, strconv.FormatFloat(f, 'f', -1, 64))
}

// Bool makes evidence of a truth.
func Bool(key snapshot.EvidenceKey, b bool) snapshot.MachineEvidence {
	return Value(key, strconv.FormatBool(b))
}

// Moment makes evidence of a moment.
func Moment(key snapshot.EvidenceKey, at time.Time) snapshot.MachineEvidence {
	return Value(key, at.UTC().Format(time.RFC3339Nano))
}

// Since tells when evidence came to be so; a zero time tells nothing.
func Since(e snapshot.MachineEvidence, at time.Time) snapshot.MachineEvidence {
	if !at.IsZero() {
		e.At = new(metav1.NewTime(at.UTC()))
	}
	return e
}

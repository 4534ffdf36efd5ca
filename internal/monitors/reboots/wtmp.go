package reboots

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// Types of records of wtmp (utmp(5)).
const (
	runLevel = 1
	bootTime = 2
)

// layout is where fields stand in a record of wtmp: glibc keeps 32-bit times on x86-64 for the sake of
// old programs, and has 64-bit times on aarch64 (bits/utmp.h, __WORDSIZE_TIME64_COMPAT32).
type layout struct {
	size, seconds, width int
}

var (
	compatible = layout{size: 384, seconds: 340, width: 4}
	wide       = layout{size: 400, seconds: 344, width: 8}
)

// maxRecords is how many records of the end of wtmp are read.
const maxRecords = 4096

// mark is a start of the system, or the order to stop it.
type mark struct {
	boot bool
	at   time.Time
}

// readWtmp reads the marks in the last records of a wtmp file, oldest first. What is no record is
// passed over; a last record that is cut short is left out.
func readWtmp(path string) ([]mark, error) {
	f, err := monitor.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if info.Size() == 0 {
		return nil, nil
	}
	l, err := layoutOf(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	size := int64(l.size)
	first := max(0, info.Size()/size-maxRecords)
	data, err := io.ReadAll(io.NewSectionReader(f, first*size, maxRecords*size))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var out []mark
	for ; len(data) >= l.size; data = data[l.size:] {
		if m, ok := l.mark(data); ok {
			out = append(out, m)
		}
	}
	return out, nil
}

var errLayout = errors.New("its records are of no known layout")

// layoutOf finds out which layout a file has: the types of its first records make sense in one only.
func layoutOf(f io.ReaderAt) (layout, error) {
	head := make([]byte, 4*wide.size)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return layout{}, err
	}
	for _, l := range []layout{compatible, wide} {
		if n >= l.size && l.fits(head[:n]) {
			return l, nil
		}
	}
	return layout{}, errLayout
}

func (l layout) fits(data []byte) bool {
	dated := false
	for ; len(data) >= l.size; data = data[l.size:] {
		kind, year := binary.LittleEndian.Uint16(data), l.time(data).Year()
		// Types go up to 9, and are followed by padding. Before its clock is set a machine lives in 1970.
		if kind > 9 || data[2] != 0 || data[3] != 0 || kind == bootTime && text(data[44:76]) != "reboot" || kind != 0 && year > 2100 {
			return false
		}
		dated = dated || kind != 0 && year >= 2000
	}
	return dated
}

func (l layout) time(record []byte) time.Time {
	if l.width == 4 {
		return time.Unix(int64(binary.LittleEndian.Uint32(record[l.seconds:])), 0).UTC()
	}
	return time.Unix(int64(binary.LittleEndian.Uint64(record[l.seconds:])&(1<<40-1)), 0).UTC()
}

func (l layout) mark(record []byte) (mark, bool) {
	user := text(record[44:76])
	switch kind := binary.LittleEndian.Uint16(record); {
	case kind == bootTime && user == "reboot":
		return mark{boot: true, at: l.time(record)}, true
	case kind == runLevel && user == "shutdown":
		return mark{at: l.time(record)}, true
	default:
		return mark{}, false
	}
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

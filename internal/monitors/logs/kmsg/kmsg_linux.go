// Package kmsg reads the kernel's log from /dev/kmsg, one record at a time, without waiting. Records
// that were overwritten before they were read are counted, never silently missed.
package kmsg

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Record is one message of the kernel.
type Record struct {
	// Priority is the syslog level, from 0, an emergency, to 7.
	Priority int
	// Seq is the number of the record since boot.
	Seq uint64
	// SinceBoot is when it was written, by the kernel's clock since boot.
	SinceBoot time.Duration
	// Text of the message.
	Text string
}

// maxRecord is how long a record can be (kernel/printk: PRINTKRB_RECORD_MAX and what comes before and
// behind it); a shorter buffer is refused with EINVAL.
const maxRecord = 16 << 10

// Reader reads /dev/kmsg. It is not safe for concurrent use.
type Reader struct {
	fd     int
	buffer []byte
	last   uint64
	begun  bool
	lost   int64
}

// Open opens the kernel's log at its oldest record. It takes the device and CAP_SYSLOG.
func Open(path string) (*Reader, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFCHR {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("opening %s: it is no device", path)
	}
	return &Reader{fd: fd, buffer: make([]byte, maxRecord)}, nil
}

// Next returns the next record; false where there is none now. What was written by programs, not by
// the kernel, is left out.
func (r *Reader) Next() (Record, bool, error) {
	for {
		n, err := unix.Read(r.fd, r.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return Record{}, false, nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EINTR):
			// EPIPE: records were overwritten, and the next read goes on at the oldest. How many they
			// were shows in its number.
			continue
		case err != nil:
			return Record{}, false, fmt.Errorf("reading the kernel's log: %w", err)
		case n == 0:
			return Record{}, false, nil
		}
		record, facility, ok := parse(string(r.buffer[:n]))
		if !ok {
			continue
		}
		if r.begun && record.Seq > r.last+1 {
			r.lost += int64(min(record.Seq-r.last-1, 1<<40)) //nolint:gosec // bounded just here
		}
		r.last, r.begun = record.Seq, true
		if facility != 0 {
			continue
		}
		return record, true, nil
	}
}

// Lost is how many records were overwritten unread.
func (r *Reader) Lost() int64 { return r.lost }

// Close closes the log.
func (r *Reader) Close() { _ = unix.Close(r.fd) }

// parse reads a record: "priority,seq,microseconds,flags[,...];text" and lines of keys, which begin with
// a space (Documentation/ABI/testing/dev-kmsg).
func parse(s string) (r Record, facility int, ok bool) {
	head, text, found := strings.Cut(s, ";")
	if !found {
		return Record{}, 0, false
	}
	parts := strings.SplitN(head, ",", 4)
	if len(parts) < 3 {
		return Record{}, 0, false
	}
	prefix, err := strconv.ParseUint(parts[0], 10, 32)
	if err != nil {
		return Record{}, 0, false
	}
	seq, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Record{}, 0, false
	}
	since, err := strconv.ParseInt(parts[2], 10, 53)
	if err != nil || since < 0 {
		return Record{}, 0, false
	}
	text, _, _ = strings.Cut(text, "\n")
	return Record{Priority: int(prefix & 7), Seq: seq, SinceBoot: time.Duration(since) * time.Microsecond, Text: text}, int(prefix >> 3), true
}

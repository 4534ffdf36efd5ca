package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// When pages of the program are given back: after all monitors have looked for the first time, and again
// now and then, for the kernel maps more around each page that is touched than is needed.
const (
	trimAfter = 10 * time.Second
	trimEvery = 30 * time.Second
)

// trimMemory gives back the pages of the program's own file that only its start needed: two thirds of a
// program that links the API's types and the rules. They are as they are on disk, so nothing is lost; what
// is used again is mapped again from the page cache.
func (a *agent) trimMemory(ctx context.Context) {
	timer := time.NewTimer(trimAfter)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// The runtime keeps what a burst took for minutes otherwise.
		debug.FreeOSMemory()
		if err := giveBack(); err != nil {
			a.o.Log.Warn("pages of the program were not given back", "error", err)
			return
		}
		timer.Reset(trimEvery)
	}
}

func giveBack() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("finding the program's file: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("reading the program's mappings: %w", err)
	}
	defer func() { _ = maps.Close() }()
	ranges, err := unwritten(maps, program)
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("giving back pages: %w", errno)
		}
	}
	return nil
}

type addresses struct{ from, to uintptr }

// unwritten are the mappings of a file that cannot be written to (proc(5), /proc/pid/maps).
func unwritten(maps io.Reader, file string) (out []addresses, err error) {
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != file || strings.Contains(fields[1], "w") {
			continue
		}
		first, last, _ := strings.Cut(fields[0], "-")
		from, err1 := strconv.ParseUint(first, 16, strconv.IntSize)
		to, err2 := strconv.ParseUint(last, 16, strconv.IntSize)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("reading the program's mappings: %w", err)
		}
		out = append(out, addresses{uintptr(from), uintptr(to)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the program's mappings: %w", err)
	}
	return out, nil
}

//go:build linux

package mounts

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
)

// Space is what a file system says of itself, counted as df counts.
type Space struct {
	// Total, Used and Available are bytes. Available is what is left for processes other than root's;
	// Used and Available do not add up to Total where some is kept for root.
	Total, Used, Available uint64
	// Inodes and InodesFree are numbers of files; both zero where the file system makes inodes as it
	// needs them.
	Inodes, InodesFree uint64
}

// Statfs asks a file system by a path in it.
type Statfs func(path string) (Space, error)

// System asks the kernel.
func System(path string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Space{}, err
	}
	block := uint64(s.Frsize) //nolint:gosec // sizes of blocks are positive
	return Space{
		Total: s.Blocks * block, Used: (s.Blocks - s.Bfree) * block, Available: s.Bavail * block,
		Inodes: s.Files, InodesFree: s.Ffree,
	}, nil
}

// Answer of one mount.
type Answer struct {
	Space
	// Err is why the kernel could not tell: an input/output error, a stale handle.
	Err error
	// Waiting is since when the mount has owed an answer; zero when it has given one.
	Waiting time.Time
}

// Asker asks mounts and remembers which of them still owe an answer.
type Asker struct {
	host     monitor.Host
	statfs   Statfs
	patience time.Duration

	mu    sync.Mutex
	owing map[string]time.Time
}

// NewAsker makes an Asker that waits for so long before it counts a mount as stuck.
func NewAsker(host monitor.Host, statfs Statfs, patience time.Duration) *Asker {
	return &Asker{host: host, statfs: statfs, patience: patience, owing: map[string]time.Time{}}
}

// Ask asks the mounts at the given mount points of the host, all at once. Every point has an answer,
// if only that it is still waited for.
func (a *Asker) Ask(ctx context.Context, points []string) map[string]Answer {
	type reply struct {
		point string
		Answer
	}
	replies := make(chan reply, len(points))
	answers := make(map[string]Answer, len(points))
	asked := 0
	for _, point := range points {
		if since, fresh := a.begin(point); !fresh {
			answers[point] = Answer{Waiting: since}
			continue
		}
		asked++
		// What hangs costs this goroutine, once: it ends when the kernel gives an answer.
		go func() {
			space, err := a.statfs(filepath.Join(a.host.Root, point))
			if err != nil {
				err = fmt.Errorf("asking %s: %w", point, err)
			}
			a.end(point)
			replies <- reply{point, Answer{Space: space, Err: err}}
		}()
	}
	late := time.NewTimer(a.patience)
	defer late.Stop()
	for asked > 0 {
		select {
		case r := <-replies:
			answers[r.point] = r.Answer
			asked--
			continue
		case <-late.C:
		case <-ctx.Done():
		}
		break
	}
	for _, point := range points {
		if _, ok := answers[point]; !ok {
			answers[point] = Answer{Waiting: a.since(point)}
		}
	}
	return answers
}

// begin notes that a mount is asked; false where it owes an answer, and since when.
func (a *Asker) begin(point string) (since time.Time, fresh bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if since, owes := a.owing[point]; owes {
		return since, false
	}
	a.owing[point] = a.host.Now()
	return time.Time{}, true
}

func (a *Asker) end(point string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.owing, point)
}

// since is when a mount was asked that owes an answer; now where it answered in this very moment.
func (a *Asker) since(point string) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if since, owes := a.owing[point]; owes {
		return since
	}
	return a.host.Now()
}

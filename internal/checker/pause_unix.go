//go:build unix

package checker

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// pause waits for the end. As the first process of a pod whose containers share theirs, it takes in
// processes that lost their parent.
func pause(ctx context.Context) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	defer signal.Stop(children)
	for {
		reap()
		select {
		case <-ctx.Done():
			return
		case <-children:
		}
	}
}

// reap takes in all processes that have ended; several may have for one signal.
func reap() {
	for {
		child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if child <= 0 && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

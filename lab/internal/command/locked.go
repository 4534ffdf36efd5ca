package command

import (
	"io"
	"sync"
)

// lockedWriter lets a program's standard output and standard error, which os/exec copies in two goroutines, go to one
// writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

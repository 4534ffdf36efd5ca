//go:build !linux

package machine

import (
	"time"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/monitor"
)

// here is the machine on which this runs.
type here struct {
	id         monitor.Identity
	os, kernel string
	root       bool
}

// lookHere refuses: machines of clusters that Maek knows run Linux.
func lookHere(string) (here, error) {
	return here{}, exit.Misused("machine looks at the host on which it runs, and that must be Linux; run it on a node")
}

func (here) watched(string, func() time.Time, bool) []monitor.Monitor { return nil }

//go:build !linux

package machine

import (
	"time"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/monitor"
)

// watchedHere refuses: machines of clusters that Maek knows run Linux.
func watchedHere(string, func() time.Time) (monitor.Identity, []monitor.Monitor, error) {
	return monitor.Identity{}, nil, exit.Misused("machine looks at the host on which it runs, and that must be Linux; run it on a node")
}

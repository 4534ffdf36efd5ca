//go:build linux

package mounts

import (
	"fmt"

	"github.com/moby/sys/mountinfo"

	"github.com/maek-dev/maek/internal/monitor"
)

// table is the mount table as the machine's first process sees it: paths are the host's, not those of
// whatever container reads it.
const table = "/proc/1/mountinfo"

// Table reads what is mounted on the machine, in the order of mounting. What skip says true of is left
// out at once: a node has several mounts for every container.
func Table(host monitor.Host, skip func(*mountinfo.Info) bool) ([]*mountinfo.Info, error) {
	path, err := host.Path(table)
	if err != nil {
		return nil, err
	}
	f, err := monitor.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading what is mounted: %w", err)
	}
	defer func() { _ = f.Close() }()
	all, err := mountinfo.GetMountsFromReader(f, func(m *mountinfo.Info) (bool, bool) { return skip(m), false })
	if err != nil {
		return nil, fmt.Errorf("reading what is mounted from %s: %w", table, err)
	}
	return all, nil
}

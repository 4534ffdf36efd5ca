package machine

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
)

// watchedHere are the monitors of the machine on which this runs.
func watchedHere(root string, now func() time.Time) (monitor.Identity, []monitor.Monitor, error) {
	name, err := os.Hostname()
	if err != nil {
		return monitor.Identity{}, nil, fmt.Errorf("asking for the host's name: %w", err)
	}
	id := monitor.Identity{Machine: name, Node: strings.ToLower(name)}
	return id, monitors.All(monitor.Host{Root: root, Node: id.Node, Now: now}), nil
}

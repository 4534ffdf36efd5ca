//go:build !linux

package npd

import (
	"context"
	"time"
)

type plugin struct {
	name, reason   string
	path           string
	args           []string
	every, timeout time.Duration
	output         int
}

const (
	maxOutput  = 4 << 10
	maxWorkers = 8
)

// Start runs nothing: plugins are for Linux machines.
func (d *Detector) Start(context.Context, func() time.Time) {}

//go:build !linux

package logs

import (
	"errors"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

func openKernel(monitor.Host, string, time.Time) (source, error) {
	return nil, errors.ErrUnsupported
}

func readOnlyDevices(monitor.Host) func(string) (is, known bool) {
	return func(string) (bool, bool) { return false, false }
}

//go:build unix

package incident

import (
	"syscall"
	"time"
)

// processor is the time of processors that this program has used, garbage collection included.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

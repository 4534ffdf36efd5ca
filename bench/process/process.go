// Package process tells what a program has used, for benches that run one beside another.
package process

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// Use is what a process has used up to a moment. Sizes are in bytes.
type Use struct {
	// Processor is the time of processors, to a hundredth of a second.
	Processor time.Duration
	// Resident memory, its peak, and the part of it that maps files.
	Resident, Peak, Files uint64
}

// Of reads what a process has used. The error tells that there is none of that number.
func Of(pid int) (Use, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Use{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	stat, err := p.Stat()
	if err != nil {
		return Use{}, fmt.Errorf("reading the processor time of process %d: %w", pid, err)
	}
	status, err := p.NewStatus()
	if err != nil {
		return Use{}, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	return Use{
		Processor: time.Duration(stat.CPUTime() * float64(time.Second)),
		Resident:  status.VmRSS, Peak: status.VmHWM, Files: status.RssFile,
	}, nil
}

package storage

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// fileSystem is what a kubelet measured of one file system, in bytes and inodes.
type fileSystem stats.FsStats

const (
	// fullPercent of a file system in use is full: what ext4 and XFS keep back is not counted as available, so that
	// a file system that takes nothing more shows nearly nothing available.
	fullPercent = 98
	// nearlyFullPercent in use is worth knowing.
	nearlyFullPercent = 90
)

// used is the percentage of bytes that are not available any more; false where it was not measured.
func (f fileSystem) used() (int, bool) {
	if f.CapacityBytes == nil || f.AvailableBytes == nil || *f.CapacityBytes == 0 {
		return 0, false
	}
	return percent(*f.AvailableBytes, *f.CapacityBytes), true
}

// inodesUsed is the same for inodes. File systems that have no fixed number of them report none.
func (f fileSystem) inodesUsed() (int, bool) {
	if f.Inodes == nil || f.InodesFree == nil || *f.Inodes == 0 {
		return 0, false
	}
	return percent(*f.InodesFree, *f.Inodes), true
}

// percent of a whole that is not left.
func percent(left, whole uint64) int {
	return int(100 - float64(min(left, whole))/float64(whole)*100)
}

// words tell how full the file system is.
func (f fileSystem) words() string {
	var out string
	if used, ok := f.used(); ok {
		out = fmt.Sprintf("%d %% of %s used, %s left", used, bytesOf(*f.CapacityBytes), bytesOf(*f.AvailableBytes))
	}
	if inodes, ok := f.inodesUsed(); ok {
		if out != "" {
			out += "; "
		}
		out += fmt.Sprintf("%d %% of %d inodes used", inodes, *f.Inodes)
	}
	return out
}

// bytesOf writes a number of bytes as Kubernetes does, to three digits or so.
func bytesOf(n uint64) string {
	for _, unit := range []struct {
		size uint64
		name string
	}{{1 << 40, "Ti"}, {1 << 30, "Gi"}, {1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		if n >= 10*unit.size {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// larger is a size to grow a volume to: half as much again, in whole gibibytes.
func larger(size resource.Quantity) string {
	const gibibyte = 1 << 30
	return fmt.Sprintf("%dGi", (size.Value()*3/2+gibibyte-1)/gibibyte)
}

//go:build unix

package tail

import (
	"io/fs"
	"syscall"
)

// number of a file in its file system: what stays when it is renamed.
func number(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

package logs

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/maek-dev/maek/internal/monitor"
)

// maxMounts bounds what is read of the table of mounts.
const maxMounts = 4 << 20

// readOnlyDevices tells of devices, as the kernel calls them, whether the host mounts them read-only.
// A device that is not mounted any more is not; where the table cannot be read, nothing is known.
func readOnlyDevices(host monitor.Host) func(string) (is, known bool) {
	var mounts []*mountinfo.Info
	var err error
	read := false
	return func(device string) (bool, bool) {
		if !read {
			read = true
			var data []byte
			if data, err = host.ReadFile("/proc/1/mountinfo", maxMounts); err == nil {
				mounts, err = mountinfo.GetMountsFromReader(bytes.NewReader(data), nil)
			}
		}
		if err != nil {
			return false, false
		}
		for _, m := range mounts {
			if m.Source != "/dev/"+device && (!strings.HasPrefix(m.Source, "/dev/mapper/") || mapperName(host, device) != path.Base(m.Source)) {
				continue
			}
			if slices.Contains(strings.Split(m.VFSOptions, ","), "ro") {
				return true, true
			}
		}
		return false, true
	}
}

// mapperName is the name of a mapped device: "dm-3" is /dev/mapper/NAME in the table of mounts.
func mapperName(host monitor.Host, device string) string {
	name, err := host.ReadFile("/sys/class/block/"+device+"/dm/name", 256)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

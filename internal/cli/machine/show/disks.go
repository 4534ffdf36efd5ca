package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// disks is what df -h and df -i tell.
var disks = part{
	name: "disks", prefixes: []string{"filesystem"}, monitors: []string{"filesystems"},
	tables: []table{
		{
			title: label("File systems", "파일 시스템"), names: under("filesystem/*/type", "filesystem/*/stuck", "filesystem/*/error"),
			columns: []column{
				itself(label("MOUNTED AT", "mount 위치")), text(headType, "filesystem/*/type"),
				size(headSize, "filesystem/*/total-bytes"), size(label("USED", "사용"), "filesystem/*/used-bytes"), size(label("FREE", "여유"), "filesystem/*/free-bytes"),
				{label("USE", "사용률"), usage},
				percent(label("INODES", "inode"), "filesystem/*/inodes-free", "filesystem/*/inodes", true),
				size(label("GROWS AN HOUR", "시간당 증가"), "filesystem/*/bytes-per-hour"),
				{label("HOLDS", "용도"), holds},
				text(headDevice, "filesystem/*/device"),
				notes(label("NOTES", "비고"),
					yes(label("", ""), "filesystem/*/read-only", label("read-only", "읽기 전용")),
					yes(label("", ""), "filesystem/*/stuck", label("DOES NOT ANSWER", "응답 없음")),
					nonzero(label("errors noted:", "기록된 오류:"), "filesystem/*/errors"),
					text(label("", ""), "filesystem/*/error")),
			},
		},
		{
			title: label("Images and containers", "이미지와 컨테이너"), names: under("cri/image-filesystem/*/used"),
			columns: []column{
				itself(label("MOUNTED AT", "mount 위치")), size(label("USED", "사용"), "cri/image-filesystem/*/used"), text(label("INODES", "inode"), "cri/image-filesystem/*/inodes"),
			},
		},
	},
}

// usage is the percentage of df: what is used, of what is used or may be used by all.
func usage(v *view, name string) string {
	used, ok := v.m.Float(at("filesystem/*/used-bytes", name))
	free, known := v.m.Float(at("filesystem/*/free-bytes", name))
	if !ok || !known || used+free <= 0 {
		return ""
	}
	return percentOf(used, used+free)
}

func holds(v *view, name string) string {
	var out []string
	for _, e := range v.m.Select(snapshot.KeyOf("filesystem", name, "holds") + "/*") {
		out = append(out, e.Key.Segments()[3])
	}
	return strings.Join(out, ", ")
}

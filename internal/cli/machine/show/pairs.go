package show

import (
	"strings"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// separator joins two names to one where a row stands for both. No name holds it.
const separator = "\x00"

// pairs is a table of values under a device and a second name: prefix/DEVICE/NAME.
func pairs(title, name, value finding.Text, prefix string) table {
	split := func(row string) (device, name string) {
		device, name, _ = strings.Cut(row, separator)
		return device, name
	}
	segments := strings.Split(prefix, "/")
	return table{
		title: title,
		names: func(v *view) []string {
			var out []string
			for _, e := range v.m.Select(snapshot.EvidenceKey(prefix + "/*/*")) {
				s := e.Key.Segments()
				out = append(out, s[len(segments)]+separator+s[len(segments)+1])
			}
			return out
		},
		columns: []column{
			{name, func(_ *view, row string) string { _, n := split(row); return n }},
			{value, func(v *view, row string) string {
				device, n := split(row)
				return v.m.Value(snapshot.KeyOf(append(append([]string{}, segments...), device, n)...))
			}},
			{headDevice, func(_ *view, row string) string { d, _ := split(row); return d }},
		},
	}
}

// settings is a table of values by the last segment of their keys.
func settings(title finding.Text, pattern string) table {
	return table{
		title: title, names: under(snapshot.EvidenceKey(pattern)),
		columns: []column{itself(headName), text(headValue, pattern)},
	}
}

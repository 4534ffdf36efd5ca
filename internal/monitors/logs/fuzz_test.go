package logs

import (
	"testing"
	"time"

	"github.com/maek-dev/maek/internal/monitors/logs/tail"
)

// FuzzLine makes sense of any line, in any format, at any time.
func FuzzLine(f *testing.F) {
	now := time.Date(2027, 1, 1, 0, 5, 0, 0, time.UTC).UnixNano()
	for _, line := range []string{
		"", "{", "E1121 10:00:00.000000    4711 file.go:12] \"x\" err=\"y\"", `{"ts":1,"caller":"a.go:1","msg":"m","err":"e","v":0,"k":{"a":[1]}}`,
		"2026-11-21T10:00:00.5Z stdout P part", "2026-11-21T10:00:00.5Z stderr F:tag rest", `{"log":"x\n","stream":"stderr","time":"2026-11-21T10:00:00Z"}`,
		"Feb 29 23:59:60 w1 kernel: [    1.000000] x", "Dec 31 23:59:59 w1 kubelet[1]: I1231 23:59:59.999999 1 a] b", "I                     ",
	} {
		f.Add(line, now)
	}
	f.Fuzz(func(t *testing.T, raw string, nanos int64) {
		at := time.Unix(0, nanos).UTC()
		for _, form := range []format{formatPlain, formatSyslog, formatCRI} {
			s := &fileSource{called: "a", format: form, now: func() time.Time { return at }}
			for range 2 {
				l, ok := s.line(raw)
				if ok && l.At.IsZero() && form == formatPlain {
					t.Errorf("%q has no time", raw)
				}
				if s.part.Len() > tail.MaxLine {
					t.Errorf("%d bytes are kept of parts of lines", s.part.Len())
				}
			}
		}
		if _, rest, ok := tail.Stamp(raw, at); !ok && rest != raw {
			t.Errorf("%q is %q without a time", raw, rest)
		}
	})
}

package reboots

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzWtmp reads any file as wtmp.
func FuzzWtmp(f *testing.F) {
	record := func(l layout, kind byte, user string, seconds byte) []byte {
		b := make([]byte, l.size)
		b[0] = kind
		copy(b[44:], user)
		copy(b[l.seconds:], []byte{0, 0, seconds, 0x69})
		return b
	}
	f.Add([]byte{})
	f.Add(make([]byte, 4*384))
	for _, l := range []layout{compatible, wide} {
		whole := append(record(l, bootTime, "reboot", 1), record(l, runLevel, "shutdown", 2)...)
		f.Add(whole)
		f.Add(whole[:len(whole)-7])
		f.Add(append([]byte{9, 9, 9}, whole...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "wtmp")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		marks, err := readWtmp(path)
		if len(marks) > len(data)/compatible.size || err != nil && len(marks) > 0 {
			t.Errorf("%d marks of %d bytes, %v", len(marks), len(data), err)
		}
		for _, m := range marks {
			if m.at.Year() < 1970 {
				t.Errorf("a mark of %s", m.at)
			}
		}
		boots := fromMarks(marks)
		if len(boots) > len(marks) {
			t.Errorf("%d boots of %d marks", len(boots), len(marks))
		}
	})
}

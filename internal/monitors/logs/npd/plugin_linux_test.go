package npd

import (
	"strings"
	"testing"
	"time"
)

func TestPluginsSpeakByTheirExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		script  string
		timeout time.Duration
		want    Word
		message string
	}{
		"well":             {"echo fine", time.Minute, OK, "fine"},
		"a problem":        {"echo it is broken and has much to say of it; exit 1", time.Minute, Problem, "it is broken and has"},
		"unknown":          {"echo cannot tell; exit 2", time.Minute, Unknown, "cannot tell"},
		"killed by itself": {"kill -9 $$", time.Minute, Unknown, ""},
		"much output":      {"head -c 100000 /dev/zero | tr '\\0' x; exit 1", time.Minute, Problem, strings.Repeat("x", 20)},
		// The child would hold the pipe open if it did not go with its parent.
		"too slow": {"sleep 600 & sleep 600", 50 * time.Millisecond, Unknown, "it did not end within 50ms"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &plugin{path: "/bin/sh", args: []string{"-c", tc.script}, timeout: tc.timeout, output: 20}
			if word, message := p.run(t.Context()); word != tc.want || strings.TrimSpace(message) != tc.message {
				t.Errorf("%q %q, want %q %q", word, message, tc.want, tc.message)
			}
		})
	}
	p := &plugin{path: "/no/such/plugin", timeout: time.Second, output: 80}
	if word, message := p.run(t.Context()); word != Unknown || !strings.Contains(message, "cannot be run") {
		t.Errorf("a plugin that is not there: %q %q", word, message)
	}
}

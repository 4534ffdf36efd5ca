// Package lastwords finds, in the last lines that a program wrote before it ended, the one that says
// why: programs write much that is not the reason, and systemd writes after them.
package lastwords

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	// klogTrouble is the head of an error or fatal line of klog, which all of Kubernetes writes
	// (k8s.io/klog/v2/internal/buffer, FormatHeader), and its text.
	klogTrouble = regexp.MustCompile(`^[EF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ [^ \]]+\] (.*)$`)
	// klogAny is a line of klog of any severity.
	klogAny = regexp.MustCompile(`^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ [^ \]]+\] `)
	// structured is klog's text of a structured error: a quoted message, then the error
	// (k8s.io/klog/v2/internal/serialize).
	structured = regexp.MustCompile(`^("(?:[^"\\]|\\.)*")(?: [^=]+?)? err=("(?:[^"\\]|\\.)*")`)
	// severe are the words by which programs without klog mark what ends them: logrus and zap of
	// containerd, dockerd, CRI-O, flanneld and etcd, Go's own panics, and command lines refused.
	severe = regexp.MustCompile(`(?i)level=(error|fatal|panic)|"level":"(error|fatal|panic)"|^panic: |^fatal error: |^error: |\bunknown flag: |\bfatal\b`)
	// systemds are systemd's own lines about a unit (systemd: src/core/service.c, unit.c, job.c).
	systemds = regexp.MustCompile(`: (Main process exited|Control process exited|Failed with result|Scheduled restart job|Consumed |Start request repeated|Deactivated successfully|Failed to enqueue|Unit process|Killing process|Sent signal|State '|Service hold-off|Service RestartSec)|^(Started|Starting|Stopped|Stopping|Failed to start) `)
)

// Of picks the line that says why a program ended; empty where none does. Lines come oldest first.
func Of(lines []string) string {
	text, _ := Find(lines)
	return text
}

// Find is Of, and tells which of the lines it is; -1 where none.
func Find(lines []string) (string, int) {
	last, lastSevere, lastKlog := -1, -1, -1
	for i, line := range lines {
		line = strings.TrimSpace(line)
		switch {
		case line == "", systemds.MatchString(line):
		case klogTrouble.MatchString(line):
			lastKlog = i
		case severe.MatchString(line):
			lastSevere = i
		default:
			last = i
		}
	}
	switch {
	case lastKlog >= 0:
		return klogText(strings.TrimSpace(lines[lastKlog])), lastKlog
	case lastSevere >= 0:
		return strings.TrimSpace(lines[lastSevere]), lastSevere
	case last < 0 || klogAny.MatchString(strings.TrimSpace(lines[last])):
		return "", -1 // What it said last was no error.
	default:
		return strings.TrimSpace(lines[last]), last
	}
}

// LastRun leaves, of what systemd and a unit's program wrote, what the program wrote from its last start
// to its last end: errors that it outlived, and a start after that end, are not why it ended.
func LastRun(lines []string) []string {
	end := -1
	for i, line := range lines {
		if strings.Contains(line, ": Main process exited") {
			end = i
		}
	}
	if end < 0 {
		return lines
	}
	for i := end - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "Started ") || strings.HasPrefix(lines[i], "Starting ") {
			return lines[i+1 : end]
		}
	}
	return lines[:end]
}

// klogText takes the head off a line of klog, and a structured one apart.
func klogText(line string) string {
	text := klogTrouble.FindStringSubmatch(line)[1]
	parts := structured.FindStringSubmatch(text)
	if parts == nil {
		return text
	}
	message, err1 := strconv.Unquote(parts[1])
	reason, err2 := strconv.Unquote(parts[2])
	if err1 != nil || err2 != nil {
		return text
	}
	return message + ": " + reason
}

package components

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/lastwords"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// tail is how much of a log's end is read.
	tail = 32 << 10
	// linesTold is how many of the last lines are told as they are.
	linesTold = 5
)

// line of a container's log.
type line struct {
	at   time.Time
	text string
}

// podFolders are the folders of logs of a component's pods, "kube-system_kube-scheduler-cp1_UID".
func podFolders(host monitor.Host, name string) ([]string, error) {
	entries, err := host.ReadDir(podLogs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the logs of pods: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "kube-system_"+name+"-") {
			out = append(out, path.Join(podLogs, e.Name(), name))
		}
	}
	return out, nil
}

// log returns the last lines of the component's newest container that says anything of note.
func (p part) log(host monitor.Host) ([]line, error) {
	folders, err := podFolders(host, p.name)
	if err != nil {
		return nil, err
	}
	type file struct {
		name    string
		written time.Time
	}
	var files []file
	for _, folder := range folders {
		entries, err := host.ReadDir(folder)
		if err != nil {
			continue // A pod without this container, or one that goes away just now.
		}
		for _, e := range entries {
			name := path.Join(folder, e.Name())
			at, err := host.Path(name)
			if err != nil {
				continue
			}
			if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && strings.HasSuffix(name, ".log") {
				files = append(files, file{name, info.ModTime()})
			}
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(b.written.Compare(a.written), strings.Compare(b.name, a.name))
	})
	var out []line
	for _, f := range files[:min(len(files), 2)] {
		lines, err := readTail(host, f.name)
		if err != nil {
			return nil, fmt.Errorf("reading the log of %s: %w", p.name, err)
		}
		if out == nil {
			out = lines
		}
		if text, _ := lastwords.Find(texts(lines)); text != "" {
			return lines, nil
		}
	}
	return out, nil
}

func readTail(host monitor.Host, name string) ([]line, error) {
	at, err := host.Path(name)
	if err != nil {
		return nil, err
	}
	f, err := monitor.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // Rotated away meanwhile.
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-tail)
	data, err := io.ReadAll(io.NewSectionReader(f, from, tail))
	if err != nil {
		return nil, err
	}
	var out []line
	for i, raw := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		if i == 0 && from > 0 || raw == "" {
			continue // The first of them is cut.
		}
		out = append(out, parse(raw))
	}
	return out, nil
}

// parse takes a line of a container's log apart: that of the CRI ("TIME STREAM TAG TEXT",
// k8s.io/cri-client/pkg/logs), and Docker's JSON.
func parse(raw string) line {
	if parts := strings.SplitN(raw, " ", 4); len(parts) == 4 {
		if at, err := time.Parse(time.RFC3339Nano, parts[0]); err == nil {
			return line{at, parts[3]}
		}
	}
	var docker struct {
		Log  string    `json:"log"`
		Time time.Time `json:"time"`
	}
	if strings.HasPrefix(raw, "{") && json.Unmarshal([]byte(raw), &docker) == nil && !docker.Time.IsZero() {
		return line{docker.Time, strings.TrimRight(docker.Log, "\n")}
	}
	return line{text: raw}
}

func texts(lines []line) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.text
	}
	return out
}

func (p part) lastWords(lines []line) []snapshot.MachineEvidence {
	if len(lines) == 0 {
		return nil
	}
	all := texts(lines)
	var out []snapshot.MachineEvidence
	for i, text := range all[max(0, len(all)-linesTold):] {
		out = append(out, monitor.Value(snapshot.KeyOf("component", p.name, "last-line", strconv.Itoa(i+1)), text))
	}
	if text, i := lastwords.Find(all); i >= 0 {
		out = append(out, monitor.Since(monitor.Value(snapshot.KeyOf("component", p.name, "last-error"), text), lines[i].at))
	}
	return out
}

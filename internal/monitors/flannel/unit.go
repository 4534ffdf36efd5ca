package flannel

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/maek-dev/maek/internal/monitor"
)

// fileBytes bounds what is read of a unit, an environment file or a configuration.
const fileBytes = 1 << 20

// unitFolders are where systemd finds units, the first that has one first (systemd.unit(5)).
var unitFolders = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unit is what a unit says about how flanneld is started.
type unit struct {
	file        string
	command     string
	environment map[string]string
}

// readUnit reads a unit with its drop-ins and environment files; nil where the host has none.
func readUnit(host monitor.Host, name string) (*unit, error) {
	var errs []error
	for _, folder := range unitFolders {
		file := path.Join(folder, name)
		data, err := host.ReadFile(file, fileBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the unit %s: %w", file, err)
		}
		u := &unit{file: file, environment: map[string]string{}}
		errs = append(errs, u.read(host, data))
		for _, folder := range unitFolders {
			entries, err := host.ReadDir(path.Join(folder, name+".d"))
			if err != nil {
				continue // Drop-ins are few and mostly nowhere.
			}
			for _, e := range entries {
				if !strings.HasSuffix(e.Name(), ".conf") {
					continue
				}
				data, err := host.ReadFile(path.Join(folder, name+".d", e.Name()), fileBytes)
				if err != nil {
					errs = append(errs, fmt.Errorf("reading a drop-in of %s: %w", name, err))
					continue
				}
				errs = append(errs, u.read(host, data))
			}
		}
		return u, errors.Join(errs...)
	}
	return nil, nil
}

func (u *unit) read(host monitor.Host, data []byte) error {
	var errs []error
	for _, line := range joined(data) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "ExecStart":
			u.command = value // An empty one resets it, and the next one sets it.
		case "Environment":
			for _, pair := range words(value) {
				if k, v, ok := strings.Cut(pair, "="); ok {
					u.environment[k] = v
				}
			}
		case "EnvironmentFile":
			file, optional := strings.CutPrefix(value, "-")
			pairs, err := readEnvironment(host, file)
			if err != nil && (!optional || !errors.Is(err, fs.ErrNotExist)) {
				errs = append(errs, fmt.Errorf("reading the environment file %s of %s: %w", file, u.file, err))
			}
			maps.Copy(u.environment, pairs)
		}
	}
	return errors.Join(errs...)
}

// args is the command with its variables filled in, without the program.
func (u *unit) args() []string {
	var out []string
	for _, w := range words(strings.TrimLeft(u.command, "-@:+!")) {
		// A variable that is a word of its own becomes several (systemd.service(5)).
		if name, ok := strings.CutPrefix(w, "$"); ok && !strings.ContainsAny(name, "{}$/") {
			out = append(out, words(u.environment[name])...)
			continue
		}
		out = append(out, expand(w, u.environment))
	}
	if len(out) > 0 {
		out = out[1:]
	}
	return out
}

// expand fills in ${NAME}.
func expand(word string, environment map[string]string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(word, "${")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("${" + rest)
			return b.String()
		}
		b.WriteString(environment[name])
		word = after
	}
}

// joined returns the lines of a file that say something, with lines joined that end in a backslash.
func joined(data []byte) []string {
	var out []string
	open := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if open == "" && (line == "" || line[0] == '#' || line[0] == ';') {
			continue
		}
		if before, more := strings.CutSuffix(line, `\`); more {
			open += before + " "
			continue
		}
		out = append(out, open+line)
		open = ""
	}
	if open != "" {
		out = append(out, open)
	}
	return out
}

// words splits at spaces outside quotes.
func words(text string) []string {
	var out []string
	var b strings.Builder
	quote, inside := rune(0), false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inside = r, true
		case r == ' ' || r == '\t':
			if inside {
				out = append(out, b.String())
				b.Reset()
				inside = false
			}
		default:
			b.WriteRune(r)
			inside = true
		}
	}
	if inside {
		out = append(out, b.String())
	}
	return out
}

// readEnvironment reads a file of NAME=value lines.
func readEnvironment(host monitor.Host, file string) (map[string]string, error) {
	data, err := host.ReadFile(file, fileBytes)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, line := range joined(data) {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		out[strings.TrimSpace(name)] = value
	}
	return out, nil
}

// Package npd reads the configuration files of node-problem-detector as they are: monitors of logs,
// its log counters, and custom plugins with their protocol. What is broken in their meaning is mended:
// a condition ends when its time is over, a pattern need not reach to the end of its line, and a
// plugin that could not be run is unknown, not a problem.
package npd

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// Bounds of what is read, and what node-problem-detector stands at when a file says nothing
// (pkg/systemlogmonitor/config.go, pkg/custompluginmonitor/types/config.go).
const (
	maxFile          = 1 << 20
	defaultBuffer    = 10
	defaultInterval  = 30 * time.Second
	defaultTimeout   = 5 * time.Second
	defaultMaxOutput = 80
	defaultWorkers   = 3
	defaultLookback  = 5 * time.Minute
)

// standsFor is how long a condition stands after the last line that told of it: node-problem-detector
// keeps it until it is restarted itself.
const standsFor = time.Hour

// file is one configuration file.
type file struct {
	Plugin     string `json:"plugin"`
	LogPath    string `json:"logPath"`
	Lookback   string `json:"lookback"`
	BufferSize int    `json:"bufferSize"`
	Source     string `json:"source"`
	Conditions []struct {
		Type    string `json:"type"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
	PluginConfig json.RawMessage `json:"pluginConfig"`
	Rules        []struct {
		Type           string   `json:"type"`
		Condition      string   `json:"condition"`
		Reason         string   `json:"reason"`
		Pattern        string   `json:"pattern"`
		Path           string   `json:"path"`
		Args           []string `json:"args"`
		Timeout        *string  `json:"timeout"`
		InvokeInterval *string  `json:"invoke_interval"`
	} `json:"rules"`
}

// settings are the pluginConfig of custom plugins.
type settings struct {
	InvokeInterval *string `json:"invoke_interval"`
	Timeout        *string `json:"timeout"`
	MaxOutput      *int    `json:"max_output_length"`
	Concurrency    *int    `json:"concurrency"`
}

// logRule matches lines.
type logRule struct {
	origin    origin
	name      string // of the condition, or, of a temporary rule, the reason
	reason    string
	pattern   *regexp.Regexp
	revert    *regexp.Regexp
	lines     int // how many lines the pattern spans at most
	atLeast   int
	within    time.Duration
	stands    time.Duration
	perBoot   bool
	happened  []time.Time
	remembers []string
}

// origin says whose lines a rule reads.
type origin struct {
	kernel     bool
	identifier string // SYSLOG_IDENTIFIER
	path       string
}

// Load reads all configuration files of a folder of the host. A file that cannot be read or understood
// is an error; the others stand.
func Load(host monitor.Host, folder string) (*Detector, error) {
	d := &Detector{states: map[string]*state{}, workers: defaultWorkers}
	entries, err := host.ReadDir(folder)
	if err != nil {
		return d, fmt.Errorf("reading node-problem-detector's configuration: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".json" {
			continue
		}
		data, err := host.ReadFile(folder+"/"+e.Name(), maxFile)
		if err == nil {
			err = d.add(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading node-problem-detector's %s: %w", e.Name(), err))
		}
	}
	return d, errors.Join(errs...)
}

func (d *Detector) add(data []byte) error {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	for _, c := range f.Conditions {
		d.states[c.Type] = &state{Word: OK, defaultReason: c.Reason, defaultMessage: c.Message, reason: c.Reason, message: c.Message}
	}
	switch f.Plugin {
	case "custom":
		return d.addPlugins(f)
	case "kmsg", "journald", "filelog":
		return d.addLogs(f)
	default:
		return fmt.Errorf("its plugin %q is not known", f.Plugin)
	}
}

func (d *Detector) addLogs(f file) error {
	var from struct {
		Source string `json:"source"`
	}
	if len(f.PluginConfig) > 0 {
		if err := json.Unmarshal(f.PluginConfig, &from); err != nil {
			return fmt.Errorf("pluginConfig: %w", err)
		}
	}
	where := origin{kernel: f.Plugin == "kmsg"}
	switch f.Plugin {
	case "journald":
		where.identifier = from.Source
	case "filelog":
		where.path = f.LogPath
	}
	lookback, err := duration(&f.Lookback, defaultLookback)
	if err != nil {
		return fmt.Errorf("lookback: %w", err)
	}
	var errs []error
	for _, r := range f.Rules {
		pattern, err := regexp.Compile(r.Pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("the pattern of %s: %w", r.Reason, err))
			continue
		}
		rule := &logRule{origin: where, name: r.Reason, reason: r.Reason, pattern: pattern, lines: 1, atLeast: 1, stands: max(lookback, defaultLookback), perBoot: where.kernel}
		if r.Type == "permanent" {
			rule.name, rule.stands = r.Condition, standsFor
		}
		if strings.Contains(r.Pattern, `\n`) || strings.Contains(r.Pattern, "(?s)") {
			if rule.lines = f.BufferSize; rule.lines <= 0 {
				rule.lines = defaultBuffer
			}
		}
		d.logs = append(d.logs, rule)
	}
	return errors.Join(errs...)
}

func (d *Detector) addPlugins(f file) error {
	var s settings
	if len(f.PluginConfig) > 0 {
		if err := json.Unmarshal(f.PluginConfig, &s); err != nil {
			return fmt.Errorf("pluginConfig: %w", err)
		}
	}
	every, err1 := duration(s.InvokeInterval, defaultInterval)
	most, err2 := duration(s.Timeout, defaultTimeout)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	output := defaultMaxOutput
	if s.MaxOutput != nil && *s.MaxOutput > 0 {
		output = min(*s.MaxOutput, maxOutput)
	}
	if s.Concurrency != nil && *s.Concurrency > 0 {
		d.workers = min(max(d.workers, *s.Concurrency), maxWorkers)
	}
	var errs []error
	for _, r := range f.Rules {
		name := r.Reason
		if r.Type == "permanent" {
			name = r.Condition
		}
		if path.Base(r.Path) == "log-counter" || path.Base(r.Path) == "logcounter" {
			rule, err := counter(r.Args)
			if err != nil {
				errs = append(errs, fmt.Errorf("the log counter of %s: %w", r.Reason, err))
				continue
			}
			rule.name, rule.reason = name, r.Reason
			d.logs = append(d.logs, rule)
			continue
		}
		p := &plugin{name: name, reason: r.Reason, path: r.Path, args: r.Args, every: every, timeout: most, output: output}
		var err error
		if p.timeout, err = duration(r.Timeout, most); err != nil {
			errs = append(errs, err)
		}
		p.timeout = min(p.timeout, most)
		if p.every, err = duration(r.InvokeInterval, every); err != nil {
			errs = append(errs, err)
		}
		d.plugins = append(d.plugins, p)
	}
	return errors.Join(errs...)
}

// counter understands the flags of node-problem-detector's log counter, which is a program of its
// own that reads the journal anew each time.
func counter(args []string) (*logRule, error) {
	r := &logRule{lines: 1, atLeast: 1, within: defaultLookback}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		var err error
		switch name {
		case "journald-source":
			r.origin.identifier = value
			if value == "kernel" {
				r.origin = origin{kernel: true}
			}
		case "log-path":
		case "lookback":
			r.within, err = time.ParseDuration(value)
		case "delay":
		case "count":
			r.atLeast, err = strconv.Atoi(value)
		case "pattern":
			r.pattern, err = regexp.Compile(value)
		case "revert-pattern":
			if value != "" {
				r.revert, err = regexp.Compile(value)
			}
		default:
			err = errors.New("it is not known")
		}
		if err != nil {
			return nil, fmt.Errorf("flag %q: %w", arg, err)
		}
	}
	if r.pattern == nil || r.atLeast < 1 || r.atLeast > maxHappened {
		return nil, errors.New("it has no pattern, or its count is out of range")
	}
	r.perBoot, r.stands = r.origin.kernel, r.within
	return r, nil
}

func duration(text *string, otherwise time.Duration) (time.Duration, error) {
	if text == nil || *text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(*text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%s is no time to wait", *text)
	}
	return d, err
}

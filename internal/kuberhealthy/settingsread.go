package kuberhealthy

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/internal/finding"
)

// maxWarnings is how many warnings of settings are told one by one.
const maxWarnings = 50

// reader collects what settings say.
type reader struct {
	getenv   func(string) string
	warnings []string
}

func (r *reader) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

func (r *reader) told() []string {
	if more := len(r.warnings) - maxWarnings; more > 0 {
		return append(r.warnings[:maxWarnings], fmt.Sprintf("and %d more settings that cannot be used", more))
	}
	return r.warnings
}

// file reads version 2's configuration (master: cmd/kuberhealthy/config.go).
func (r *reader) file(text []byte, s *Settings) {
	var keys map[string]any
	if err := yaml.Unmarshal(text, &keys); err != nil {
		r.warn("the configuration file is not YAML of keys and values: defaults stand for all of it")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		value := keys[key]
		if value == nil {
			continue
		}
		switch key {
		case "listenAddress":
			r.address(key, word(value), &s.Listen)
		case "logLevel":
			r.level(key, word(value), &s.LogLevel)
		case "maxKHJobAge":
			r.duration(key, word(value), minJobAge, &s.RetentionV2.MaxJobAge)
		case "maxCheckPodAge":
			r.duration(key, word(value), minPodAgeV2, &s.RetentionV2.MaxAge)
		case "maxCompletedPodCount":
			r.count(key, word(value), &s.RetentionV2.MaxCompleted)
		case "maxErrorPodCount":
			r.count(key, word(value), &s.RetentionV2.MaxFailed)
		case "stateMetadata":
			s.Metadata = r.metadata(key, value)
		case "promMetricsConfig":
			r.metrics(key, value, s)
		case "enableInflux", "influxUsername", "influxPassword", "influxURL", "influxDB":
			// The chart writes an address down even where nothing is to be sent there.
		default:
			r.unheeded(key, value)
		}
	}
	if keys["enableInflux"] == true {
		r.warn("enableInflux is ignored: results are not pushed to InfluxDB, scrape /metrics instead")
	}
}

// unheeded tells of a key of the file that means nothing here. What is switched off in it, or is what
// happens anyway, is not worth a word.
func (r *reader) unheeded(key string, value any) {
	written := word(value)
	why, known := map[string]string{
		"enableForceMaster":         "replicas share the checks, and none needs to be forced",
		"externalCheckReportingURL": "set the environment variable KH_EXTERNAL_REPORTING_URL",
		"kubeConfigFile":            "the operator uses its ServiceAccount",
		"namespace":                 "set the environment variable TARGET_NAMESPACE",
	}[key]
	switch {
	case !known:
		r.warn("configuration key %s is not known and is ignored", quote(key))
	case written != "" && written != "false":
		r.warn("configuration key %s is ignored: %s", key, why)
	}
}

func (r *reader) metadata(key string, value any) map[string]string {
	entries, ok := value.(map[string]any)
	if !ok {
		r.warn("%s is no map of texts and is ignored", key)
		return nil
	}
	metadata := make(map[string]string, len(entries))
	for name, value := range entries {
		metadata[name] = word(value)
	}
	return metadata
}

func (r *reader) metrics(key string, value any, s *Settings) {
	entries, ok := value.(map[string]any)
	if !ok {
		r.warn("%s is no map and is ignored", key)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		switch name {
		case "suppressErrorLabel":
			r.truth(key+"."+name, word(entries[name]), &s.Labels.SuppressError)
		case "errorLabelMaxLength":
			r.count(key+"."+name, word(entries[name]), &s.Labels.ErrorMaxLength)
		default:
			r.warn("configuration key %s is not known and is ignored", quote(key+"."+name))
		}
	}
}

// word is a scalar as it would be written; what is none is written so that nothing reads it.
func word(value any) string {
	switch value := value.(type) {
	case string:
		return strings.TrimSpace(value)
	case bool:
		return strconv.FormatBool(value)
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

func (r *reader) address(name, written string, into *string) {
	if written == "" {
		return
	}
	_, port, err := net.SplitHostPort(written)
	if n, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || n == 0 {
		r.warn("%s %s is no address such as :8080: %s stands for it", name, quote(written), *into)
		return
	}
	*into = written
}

func (r *reader) level(name, written string, into *slog.Level) {
	levels := map[string]slog.Level{
		"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"warning": slog.LevelWarn, "error": slog.LevelError, "fatal": slog.LevelError, "panic": slog.LevelError,
	}
	if written == "" {
		return
	}
	level, known := levels[strings.ToLower(written)]
	if !known {
		r.warn("%s %s is no level such as info or debug: %s stands for it", name, quote(written), *into)
		return
	}
	*into = level
}

// duration reads one that is not negative; what is below the least becomes that.
func (r *reader) duration(name, written string, least time.Duration, into *time.Duration) {
	if written == "" {
		return
	}
	d, err := time.ParseDuration(written)
	switch {
	case err != nil:
		r.warn("%s %s is no duration such as 15m or 72h: %s stands for it", name, quote(written), finding.Duration(*into))
	case d < 0 || d > maxDuration:
		r.warn("%s %s is not between 0 and %s: %s stands for it", name, quote(written), finding.Duration(maxDuration), finding.Duration(*into))
	default:
		*into = max(d, least)
	}
}

func (r *reader) count(name, written string, into *int) {
	if written == "" {
		return
	}
	n, err := strconv.ParseInt(written, 10, 32)
	if err != nil || n < 0 {
		r.warn("%s %s is no whole number from 0 to 2147483647: %d stands for it", name, quote(written), *into)
		return
	}
	*into = int(n)
}

func (r *reader) truth(name, written string, into *bool) {
	if written == "" {
		return
	}
	b, err := strconv.ParseBool(written)
	if err != nil {
		r.warn("%s %s is neither true nor false: %t stands for it", name, quote(written), *into)
		return
	}
	*into = b
}

// location reads a URL of http or https.
func (r *reader) location(name, written string, into *string) {
	if written == "" {
		return
	}
	u, err := url.Parse(written)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.warn("%s %s is no URL such as http://kuberhealthy.example.com: %s stands for it", name, quote(written), *into)
		return
	}
	*into = written
}

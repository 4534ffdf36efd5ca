package logs

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// understand fills in what a line's own text says: its severity, and the place in the code.
func (l *Line) understand(now time.Time) {
	text := l.Text
	switch {
	case strings.HasPrefix(text, "{"):
		l.fromJSON()
	case isKlog(text):
		l.fromKlog(now)
	case strings.HasPrefix(text, "["):
		word, _, _ := strings.Cut(text[1:], "]")
		l.Severity = severityOf(word)
	default:
		if _, rest, ok := strings.Cut(text, "level="); ok {
			word, _, _ := strings.Cut(rest, " ")
			l.Severity = severityOf(word)
		}
	}
}

func severityOf(word string) byte {
	switch strings.ToLower(strings.Trim(word, `"`)) {
	case "fatal", "panic", "dpanic", "emerg", "crit", "alert":
		return 'F'
	case "error", "err":
		return 'E'
	case "warn", "warning":
		return 'W'
	case "info", "notice", "debug", "trace":
		return 'I'
	default:
		return 0
	}
}

// isKlog tells of a line that begins as klog begins one: a letter, month and day, and the time.
func isKlog(s string) bool {
	return len(s) > len("I1121 10:00:00.000000") && strings.IndexByte("IWEF", s[0]) >= 0 && s[5] == ' ' && s[8] == ':' && s[11] == ':' && s[14] == '.'
}

// fromKlog reads klog's head, "E1121 10:00:00.000000    4711 file.go:12] ...". It has no year: the one is
// taken that brings the line nearest to now.
func (l *Line) fromKlog(now time.Time) {
	l.Severity = l.Text[0]
	head, _, ok := strings.Cut(l.Text, "] ")
	if !ok {
		return
	}
	fields := strings.Fields(head)
	if len(fields) == 4 {
		l.site = fields[3]
	}
	if !l.At.IsZero() || len(fields) < 2 {
		return
	}
	for _, year := range []int{now.Year() - 1, now.Year(), now.Year() + 1} {
		at, err := time.ParseInLocation("20060102 15:04:05.000000", strconv.Itoa(year)+fields[0][1:]+" "+fields[1], now.Location())
		if err == nil && (l.At.IsZero() || at.Sub(now).Abs() < l.At.Sub(now).Abs()) {
			l.At = at.UTC()
		}
	}
}

// maxJSON bounds what is parsed of a line that is an object.
const maxJSON = 16 << 10

// fromJSON reads klog's JSON format (component-base/logs/json), which says "err" and has no level, and
// zap's, as etcd writes it.
func (l *Line) fromJSON() {
	if len(l.Text) > maxJSON {
		return
	}
	var o struct {
		Level  string          `json:"level"`
		Caller string          `json:"caller"`
		Msg    string          `json:"msg"`
		Err    json.RawMessage `json:"err"`
		V      *float64        `json:"v"`
	}
	if json.Unmarshal([]byte(l.Text), &o) != nil {
		return
	}
	l.site, l.Severity = o.Caller, severityOf(o.Level)
	if o.Level != "" || o.Caller == "" {
		return
	}
	// klog's: the catalogue knows the text form, in which keys and values follow the message.
	l.Severity = 'I'
	if o.V == nil && len(o.Err) > 0 {
		l.Severity = 'E'
	}
	l.Text = string(l.Severity) + " " + o.Caller + `] ` + strconv.Quote(o.Msg) + pairs(l.Text)
}

// pairs are the keys and values of an object in klog's text form, in their own order.
func pairs(object string) string {
	var b strings.Builder
	d := json.NewDecoder(strings.NewReader(object))
	if _, err := d.Token(); err != nil {
		return ""
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return b.String()
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return b.String()
		}
		switch name, _ := key.(string); name {
		case "ts", "caller", "msg", "v", "":
		default:
			b.WriteString(" " + name + "=" + string(value))
		}
	}
	return b.String()
}

// criLine takes apart a line as container runtimes write it: "TIME stdout F text"
// (kubelet/pkg/cri ... logs). whole is false for a part whose rest follows.
func criLine(line string) (at time.Time, text string, whole, ok bool) {
	stamp, rest, _ := strings.Cut(line, " ")
	stream, rest, _ := strings.Cut(rest, " ")
	tag, text, found := strings.Cut(rest, " ")
	if !found || stream != "stdout" && stream != "stderr" {
		return time.Time{}, "", false, false
	}
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Time{}, "", false, false
	}
	tag, _, _ = strings.Cut(tag, ":")
	return at.UTC(), text, tag != "P", true
}

// dockerLine takes apart a line as Docker's json-file driver writes it.
func dockerLine(line string) (at time.Time, text string, whole, ok bool) {
	if !strings.HasPrefix(line, `{"log":`) {
		return time.Time{}, "", false, false
	}
	var o struct {
		Log  string    `json:"log"`
		Time time.Time `json:"time"`
	}
	if json.Unmarshal([]byte(line), &o) != nil {
		return time.Time{}, "", false, false
	}
	text, whole = strings.CutSuffix(o.Log, "\n")
	return o.Time.UTC(), text, whole, true
}

// syslogLine takes apart what follows the time in a line of syslog: "host tag[pid]: text".
func syslogLine(rest string) (tag, text string, ok bool) {
	_, rest, found := strings.Cut(rest, " ")
	if !found {
		return "", "", false
	}
	tag, text, found = strings.Cut(rest, ": ")
	if !found || strings.Contains(tag, " ") {
		return "", "", false
	}
	tag, _, _ = strings.Cut(tag, "[")
	if tag == "kernel" && strings.HasPrefix(text, "[") {
		// "[  123.456789] text": the time since boot says nothing that the line's own time does not.
		if _, after, ok := strings.Cut(text, "] "); ok {
			text = after
		}
	}
	return tag, text, true
}

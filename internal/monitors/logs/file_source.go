package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/monitors/logs/tail"
)

// firstRead is how much of a file's end is read when it is first seen.
const firstRead = 512 << 10

// format is how lines of a file are written.
type format int

const (
	formatPlain  format = iota // a component's own
	formatSyslog               // "TIME host tag: text"
	formatCRI                  // "TIME stream F text", or Docker's JSON
)

// fileSource reads a text file.
type fileSource struct {
	called string
	file   *tail.File
	format format
	class  catalogue.Class
	writer string
	only   catalogue.Class // of syslog, only lines of this class; empty takes all
	since  time.Time
	now    func() time.Time
	part   strings.Builder
}

func (s *fileSource) open(path, checkpoint string) error {
	var at *tail.Checkpoint
	if checkpoint != "" {
		at = &tail.Checkpoint{}
		if json.Unmarshal([]byte(checkpoint), at) != nil {
			at = nil
		}
	}
	f, err := tail.From(path, at, firstRead)
	if err != nil {
		return err
	}
	s.file = f
	return nil
}

func (s *fileSource) kept() (lost int64, oldest time.Time) { return s.file.Lost(), time.Time{} }
func (s *fileSource) close()                               { s.file.Close() }

func (s *fileSource) checkpoint() string {
	data, err := json.Marshal(s.file.Checkpoint())
	if err != nil {
		return ""
	}
	return string(data)
}

func (s *fileSource) read(ctx context.Context, limit int64, yield func(Line)) (bool, error) {
	if err := ctx.Err(); err != nil {
		return true, fmt.Errorf("reading %s: %w", s.called, err)
	}
	more, err := s.file.Read(limit, func(raw []byte) {
		if l, ok := s.line(string(raw)); ok && !l.At.Before(s.since) {
			yield(l)
		}
	})
	if err != nil && os.IsNotExist(err) {
		return false, nil
	}
	return more, err
}

// line makes sense of a raw line; false for one that is a part, not wanted, or none at all.
func (s *fileSource) line(raw string) (Line, bool) {
	now := s.now()
	l := Line{Source: s.called, Writer: s.writer, Class: s.class, Text: raw}
	switch s.format {
	case formatCRI:
		at, text, whole, ok := criLine(raw)
		if !ok {
			at, text, whole, ok = dockerLine(raw)
		}
		if !ok {
			return Line{}, false
		}
		if s.part.Len() > 0 || !whole {
			if s.part.Len()+len(text) <= tail.MaxLine {
				s.part.WriteString(text)
			}
			if !whole {
				return Line{}, false
			}
			text = s.part.String()
			s.part.Reset()
		}
		l.At, l.Text = at, text
	case formatSyslog:
		at, rest, ok := tail.Stamp(raw, now)
		if !ok {
			return Line{}, false
		}
		tag, text, ok := syslogLine(rest)
		if !ok {
			return Line{}, false
		}
		l.At, l.Writer, l.Class, l.Text = at, tag, classOfWriter(tag), text
		if s.only != "" && l.Class != s.only {
			return Line{}, false
		}
	case formatPlain:
	}
	if strings.TrimSpace(l.Text) == "" {
		return Line{}, false
	}
	l.understand(now)
	if l.At.IsZero() {
		l.At = now
	}
	return l, true
}

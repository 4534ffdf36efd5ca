package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/monitors/logs/journal"
)

// maxText is how much of a journal's message is looked at.
const maxText = 8 << 10

// units whose lines the catalogue knows.
func units() []string {
	return []string{
		"kubelet.service", "containerd.service", "docker.service", "crio.service", "flanneld.service", "etcd.service",
		"kube-apiserver.service", "kube-scheduler.service", "kube-controller-manager.service", "kube-proxy.service",
	}
}

// componentMatches are what units write, and what the service manager says about them.
func componentMatches() []journal.Match {
	matches := []journal.Match{{{Name: "SYSLOG_IDENTIFIER", Value: "smartd"}}}
	for _, u := range units() {
		matches = append(matches, journal.Match{{Name: "_SYSTEMD_UNIT", Value: u}}, journal.Match{{Name: "UNIT", Value: u}, {Name: "_PID", Value: "1"}})
	}
	return matches
}

// journalSource reads entries of the journal.
type journalSource struct {
	reader *journal.Reader
	first  time.Time
}

// openJournal begins behind a checkpoint, but not before since. Nil matches want all entries.
func openJournal(j *journal.Journal, matches []journal.Match, checkpoint string, since time.Time) (*journalSource, error) {
	// A cursor that cannot be read is as good as none: since bounds what is read again.
	after, _ := journal.ParseCursor(checkpoint)
	r, err := j.Read(journal.Query{
		Any: matches, After: after, Since: since, MaxValue: maxText,
		Fields: []string{"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "_TRANSPORT", "UNIT", "_PID"},
	})
	if err != nil {
		return nil, err
	}
	return &journalSource{reader: r, first: r.Oldest()}, nil
}

func (s *journalSource) kept() (lost int64, oldest time.Time) { return 0, s.first }
func (s *journalSource) close()                               { s.reader.Close() }
func (s *journalSource) checkpoint() string                   { return s.reader.Last().String() }

func (s *journalSource) read(ctx context.Context, limit int64, yield func(Line)) (bool, error) {
	if err := s.reader.Refresh(); err != nil && !errors.Is(err, journal.ErrNone) {
		return false, err
	}
	s.first = s.reader.Oldest()
	for limit > 0 {
		if err := ctx.Err(); err != nil {
			return true, fmt.Errorf("reading the journal: %w", err)
		}
		e, ok := s.reader.Next()
		if !ok {
			return false, s.reader.Err()
		}
		l := entryLine(e)
		limit -= int64(len(l.Text)) + 64
		yield(l)
	}
	return true, s.reader.Err()
}

func entryLine(e journal.Entry) Line {
	l := Line{At: e.Time(), Source: "journal", Writer: e.Get("SYSLOG_IDENTIFIER"), Text: e.Message(), boot: e.Boot.String()}
	switch {
	case e.Get("_TRANSPORT") == "kernel" && l.Writer == "kernel":
		// Programs can write to the kernel's log too; what they say is not the kernel's word.
		l.Source, l.Class = "kernel", catalogue.Kernel
	case e.Get("UNIT") != "" && e.Get("_PID") == "1":
		l.Class = catalogue.Systemd
	case slices.Contains(units(), e.Get("_SYSTEMD_UNIT")):
		l.Class = classOfWriter(e.Get("_SYSTEMD_UNIT"))
	case l.Writer == "smartd":
		l.Class = catalogue.Smartd
	}
	l.understand(l.At)
	if priority, ok := e.Priority(); ok && l.Severity == 0 {
		l.Severity = severityOfPriority(priority)
	}
	return l
}

// severityOfPriority turns a syslog level into klog's letters.
func severityOfPriority(priority int) byte {
	switch {
	case priority <= 2:
		return 'F'
	case priority == 3:
		return 'E'
	case priority == 4:
		return 'W'
	default:
		return 'I'
	}
}

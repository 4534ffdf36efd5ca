package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/logs/catalogue"
	"github.com/maek-dev/maek/internal/monitors/logs/npd"
	"github.com/maek-dev/maek/internal/snapshot"
)

// plugins are node-problem-detector's rules, where a folder of them is named.
type plugins struct {
	options  Options
	detector *npd.Detector
	boot     string
	host     monitor.Host
}

func newPlugins(host monitor.Host, o Options) (*plugins, error) {
	p := &plugins{options: o, host: host}
	if o.ProblemDetector == "" {
		return p, nil
	}
	var err error
	p.detector, err = npd.Load(host, o.ProblemDetector)
	return p, err
}

// identifiers are the writers that the rules want to read beside those of the catalogue.
func (p *plugins) identifiers() []string {
	if p.detector == nil {
		return nil
	}
	return p.detector.Identifiers()
}

// unread names the files that rules want and that are not among the logs that are read.
func (p *plugins) unread(names []string) error {
	if p.detector == nil {
		return nil
	}
	var missing []string
	for _, path := range p.detector.Paths() {
		if !slices.Contains(names, path) {
			missing = append(missing, path)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("node-problem-detector's configuration wants %s, which is not read: where there is a journal, name the journal instead (plugin journald)", strings.Join(missing, ", "))
	}
	return nil
}

func (p *plugins) take(l Line) {
	if p.detector == nil {
		return
	}
	kernel := l.Class == catalogue.Kernel
	if kernel && l.boot != p.boot {
		p.detector.Rebooted()
		p.boot = l.boot
	}
	p.detector.Take(npd.Line{At: l.At, Kernel: kernel, Identifier: l.Writer, Path: l.Source, Text: l.Text})
}

func (p *plugins) run(ctx context.Context) {
	if p.detector != nil && p.options.RunPlugins {
		p.detector.Start(ctx, p.host.Now)
	}
}

func (p *plugins) evidence(now time.Time) []snapshot.MachineEvidence {
	if p.detector == nil {
		return nil
	}
	var out []snapshot.MachineEvidence
	for _, s := range p.detector.States(now) {
		key := func(last string) snapshot.EvidenceKey { return snapshot.KeyOf("log", "npd", s.Name, last) }
		out = append(out, monitor.Since(monitor.Value(key("state"), string(s.Word)), s.Since))
		if s.Reason != "" {
			out = append(out, monitor.Value(key("reason"), s.Reason))
		}
		if s.Message != "" {
			out = append(out, monitor.Value(key("message"), cut(s.Message)))
		}
	}
	return out
}

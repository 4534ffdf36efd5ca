package logs

import (
	"context"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

type plugins struct{}

func newPlugins(monitor.Host, Options) (*plugins, error) { return &plugins{}, nil }
func (p *plugins) take(Line)                             {}
func (p *plugins) run(context.Context, time.Time) error  { return nil }
func (p *plugins) evidence() []snapshot.MachineEvidence  { return nil }

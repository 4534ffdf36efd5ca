package probe

import (
	"context"
	"time"
)

// TCP asks whether a connection can be opened. What happens to it afterwards does not count.
type TCP struct {
	// Address is host:port.
	Address string
}

// String implements [Target].
func (t TCP) String() string { return "TCP connection to " + t.Address }

func (t TCP) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, phases, err := p.connect(ctx, "tcp", t.Address)
	if err != nil {
		outcome := stopped(err, err.Error())
		outcome.Phases = phases
		return &outcome
	}
	_ = conn.Close() // it was open: that was the question
	outcome := same(Success, "")
	outcome.Phases = phases
	return &outcome
}

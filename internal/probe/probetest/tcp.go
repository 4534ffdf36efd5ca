package probetest

import (
	"testing"

	"github.com/maek-dev/maek/internal/probe"
)

// TCPCase is a server to which a connection is opened.
type TCPCase struct {
	// Serve is what it does; nil: nothing listens.
	Serve Serve
	Want  probe.Verdict
}

// Start starts the server, and returns its port.
func (c TCPCase) Start(tb testing.TB) int {
	tb.Helper()
	if c.Serve == nil {
		return closedPort
	}
	return Listen(tb, nil, c.Serve)
}

// TCP are the cases of TCP probes. The sentences are their names.
func TCP() map[string]TCPCase {
	return map[string]TCPCase{
		"it waits":        {Serve: func(c *Conn) { c.Hang() }, Want: passed(probe.Success, "")},
		"it hangs up":     {Serve: func(*Conn) {}, Want: passed(probe.Success, "")},
		"it never stops":  {Serve: func(c *Conn) { c.Flood("x") }, Want: passed(probe.Success, "")},
		"nothing listens": {Want: failed("dial tcp SERVER: connect: connection refused")},
		"it greets":       {Serve: func(c *Conn) { c.Say("220 ready\r\n") }, Want: passed(probe.Success, "")},
	}
}

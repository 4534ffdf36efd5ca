package npd

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// plugin is a program that tells of a condition by its exit code.
type plugin struct {
	name, reason   string
	path           string
	args           []string
	every, timeout time.Duration
	output         int
	begun          time.Time
	busy           bool
}

// Bounds of what plugins may ask for.
const (
	maxOutput  = 4 << 10
	maxWorkers = 8
)

// Start runs the plugins whose time has come, as many at once as the configuration allows, none beside
// itself. It does not wait: what they say is among the states when they are done.
func (d *Detector) Start(ctx context.Context, now func() time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.plugins {
		if p.busy || d.running >= d.workers || !p.begun.IsZero() && now().Sub(p.begun) < p.every {
			continue
		}
		p.busy, p.begun = true, now()
		d.running++
		// A plugin may take longer than one look.
		go func() {
			word, message := p.run(context.WithoutCancel(ctx))
			d.mu.Lock()
			defer d.mu.Unlock()
			p.busy = false
			d.running--
			s := d.stateOf(p.name)
			if word == OK {
				if s.Word != OK {
					s.reset(now())
				}
				return
			}
			s.set(word, p.reason, message, now())
			s.stands = 3*p.every + p.timeout // it is asked again before
		}()
	}
}

// run runs the plugin once: exit 0 is well, 1 a problem, anything else unknown.
func (p *plugin) run(ctx context.Context) (Word, string) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	// What a plugin started goes with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out := &limited{left: maxOutput}
	cmd.Stdout = out
	err := cmd.Run()
	message := strings.TrimSpace(strings.ToValidUTF8(out.text.String(), ""))
	if len(message) > p.output {
		message = strings.ToValidUTF8(message[:p.output], "")
	}
	exit := &exec.ExitError{}
	switch {
	case ctx.Err() != nil:
		return Unknown, "it did not end within " + p.timeout.String()
	case err == nil:
		return OK, message
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return Problem, message
	case errors.As(err, &exit):
		return Unknown, message
	default:
		return Unknown, "it cannot be run: " + err.Error()
	}
}

// limited keeps the beginning of what is written.
type limited struct {
	text strings.Builder
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.text.Write(b[:n])
	l.left -= n
	return len(b), nil
}

var _ io.Writer = (*limited)(nil)

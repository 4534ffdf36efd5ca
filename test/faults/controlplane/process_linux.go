package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopWithin is how long a process may take to end when asked to; then it is killed.
const stopWithin = 10 * time.Second

// process is a program of the control plane that can be stopped and started again.
type process struct {
	name, path, log string
	args            []string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
}

func newProcess(assets, dir, program, name string, args ...string) *process {
	return &process{name: name, path: filepath.Join(assets, program), log: filepath.Join(dir, name+".log"), args: args}
}

// program is the name of its file.
func (p *process) program() string { return filepath.Base(p.path) }

// replaced returns arguments with flags in place of those of the same name, and others added.
func replaced(args, flags []string) []string {
	out := slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		return slices.ContainsFunc(flags, func(flag string) bool {
			name, _, _ := strings.Cut(flag, "=")
			return strings.HasPrefix(arg, name+"=")
		})
	})
	return append(out, flags...)
}

// start starts the process with flags in place of its own or besides them. The process outlives ctx.
func (p *process) start(ctx context.Context, extra ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive() {
		return fmt.Errorf("%s runs already", p.name)
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", p.name, err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.path, replaced(p.args, extra)...)
	cmd.Stdout, cmd.Stderr = out, out
	// A process group of its own keeps an interrupt at the terminal from it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return nil
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alive()
}

func (p *process) alive() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop asks the process to end, as a container runtime does, and kills it where it does not.
func (p *process) stop() error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopWithin):
		return p.kill()
	}
}

func (p *process) kill() error {
	if !p.running() {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Phase is a step of a build.
type Phase string

// The phases, in the order in which they come.
const (
	// PhaseWaiting: another process builds this component.
	PhaseWaiting Phase = "waiting"
	// PhaseBuilding: modules are being downloaded and compiled.
	PhaseBuilding Phase = "building"
	// PhaseBuilt: the programs are in the cache.
	PhaseBuilt Phase = "built"
)

// Event tells of one step of a build.
type Event struct {
	// Component is what is being built.
	Component Component
	// Programs are those of its programs that were missing.
	Programs []string
	// Phase is the step that begins, or that has ended for PhaseBuilt.
	Phase Phase
	// Elapsed is how long the build took. It is set for PhaseBuilt only.
	Elapsed time.Duration
}

// String returns the event as one line for people.
func (e Event) String() string {
	what := e.Component.String()
	if len(e.Programs) < len(e.Component.Programs) {
		what += " (" + strings.Join(e.Programs, ", ") + ")"
	}
	switch e.Phase {
	case PhaseWaiting:
		return "waiting for another build of " + e.Component.String()
	case PhaseBuilt:
		return fmt.Sprintf("built %s in %s", what, e.Elapsed.Round(100*time.Millisecond))
	default:
		return string(e.Phase) + " " + what
	}
}

// Build builds those of the named components and programs that are not in the
// cache; without names, everything. It can be called from several processes at
// once. What it has finished stays when a later part fails or ctx is cancelled.
func (c *Cache) Build(ctx context.Context, names ...string) error {
	selected, err := selectPrograms(c.Components, names)
	if err != nil {
		return err
	}
	for _, s := range selected {
		if err := c.build(ctx, s); err != nil {
			return fmt.Errorf("building %s: %w", s.Component, err)
		}
	}
	return nil
}

func (c *Cache) build(ctx context.Context, s selection) error {
	folder, err := c.folder(s.Component)
	if err != nil {
		return err
	}
	lacking, err := missing(folder, s.wanted)
	if err != nil || len(lacking) == 0 {
		return err
	}
	if err := checkToolchain(ctx, s.Component); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	unlock, err := c.lock(ctx, folder, func() { c.tell(Event{Component: s.Component, Phase: PhaseWaiting}) })
	if err != nil {
		return err
	}
	defer unlock()
	// The process that held the lock may have built what was missing.
	lacking, err = missing(folder, s.wanted)
	if err != nil || len(lacking) == 0 {
		return err
	}

	event := Event{Component: s.Component, Phase: PhaseBuilding}
	for _, p := range lacking {
		event.Programs = append(event.Programs, p.Name)
	}
	c.tell(event)
	start := c.Now()
	for _, p := range lacking {
		if err := c.compile(ctx, s.Component, p, folder); err != nil {
			return err
		}
	}
	event.Phase, event.Elapsed = PhaseBuilt, c.Now().Sub(start)
	c.tell(event)
	return nil
}

func (c *Cache) tell(event Event) {
	if c.Progress != nil {
		c.Progress(event)
	}
}

// compile builds one program into folder. It appears there complete or not at all.
func (c *Cache) compile(ctx context.Context, component Component, p Program, folder string) error {
	temporary, err := os.MkdirTemp(folder, ".build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }() // the next build does not read it

	out := filepath.Join(temporary, p.Name)
	args := append([]string{"build", "-o", out}, buildFlags(component)...)
	cmd := exec.CommandContext(ctx, "go", append(args, p.Package)...)
	cmd.Dir = c.Sources
	if component.Module != "" {
		cmd.Dir = filepath.Join(c.Sources, "components", component.Name)
	}
	cmd.Env = append(os.Environ(), buildEnvironment(component, c.Arch)...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("go build %s: %w\n%s", p.Package, err, tail(output.Bytes()))
	}
	return os.Rename(out, filepath.Join(folder, p.Name))
}

// buildFlags returns the flags of go build that shape a component's programs.
func buildFlags(component Component) []string {
	link := []string{"-s", "-w"}
	if component.cgo {
		link = append(link, "-linkmode=external", "-extldflags=-static")
	}
	for _, stamp := range component.stamps {
		link = append(link, "-X="+stamp)
	}
	// Where the checkout is, and its commit, must not change what is built.
	flags := []string{"-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(link, " ")}
	if len(component.tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(component.tags, ","))
	}
	return flags
}

// buildEnvironment returns the variables that keep the user's own Go settings
// from changing what is built.
func buildEnvironment(component Component, arch string) []string {
	cgo := "0"
	if component.cgo {
		cgo = "1"
	}
	return []string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=" + cgo, "GOFLAGS=", "GOWORK=off"}
}

// missing returns the programs that are not in folder.
func missing(folder string, programs []Program) ([]Program, error) {
	var lacking []Program
	for _, p := range programs {
		_, err := os.Stat(filepath.Join(folder, p.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			lacking = append(lacking, p)
		case err != nil:
			return nil, err
		}
	}
	return lacking, nil
}

// lock takes the folder's lock, which ends with the process that holds it. It
// calls waiting if it cannot have it at once.
func (c *Cache) lock(ctx context.Context, folder string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(folder, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	release := func() { _ = file.Close() } // nothing was written; closing ends the lock in any case
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		return release, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		release()
		return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
	}

	waiting()
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
	select {
	case err := <-locked:
		if err != nil {
			release()
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		return release, nil
	case <-ctx.Done():
		go func() {
			<-locked
			release()
		}()
		return nil, context.Cause(ctx)
	}
}

// tail returns the last lines of a compiler's output: the first error is as a
// rule among them, the progress lines before it are not.
func tail(output []byte) string {
	const most = 20
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	if len(lines) > most {
		lines = append([]string{"..."}, lines[len(lines)-most:]...)
	}
	return strings.Join(lines, "\n")
}

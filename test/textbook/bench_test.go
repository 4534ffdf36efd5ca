package textbook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

var (
	labBinary  = flag.String("lab", "", "the lab's binary; a lab with two workers must be up, and the image of busybox loaded")
	maekBinary = flag.String("maek", "", "the kubectl-maek that is held against the truth")
)

// within is how long one step may take. The slowest is that a diagnosis takes a probe that fails for lasting, nearly three
// minutes after it began.
const within = 6 * time.Minute

// bench is one case in a namespace of its own.
type bench struct {
	t         *testing.T
	maek      string
	namespace string
	environ   []string
}

// play makes the namespace and what the manifest in testdata holds.
func play(t *testing.T, name string) *bench {
	t.Helper()
	if *labBinary == "" || *maekBinary == "" {
		t.Skip("needs a lab: make test-textbook brings one up and runs this")
	}
	maek, err := filepath.Abs(*maekBinary)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, maek: maek, namespace: "textbook-" + name, environ: append(os.Environ(), "LANG=C.UTF-8")}
	out, err := exec.CommandContext(t.Context(), *labBinary, "env").Output()
	if err != nil {
		t.Fatalf("asking the lab for its environment: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if assignment, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			b.environ = append(b.environ, os.Expand(assignment, os.Getenv))
		}
	}
	b.kubectl("create", "namespace", b.namespace)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
		defer cancel()
		if out, err := b.command(ctx, "kubectl", "delete", "namespace", b.namespace).CombinedOutput(); err != nil {
			t.Errorf("deleting the namespace: %v\n%s", err, out)
		}
	})
	b.kubectl("apply", "--namespace", b.namespace, "--filename", filepath.Join("testdata", name+".yaml"))
	return b
}

func (b *bench) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if program == "kubectl" {
		// env looks for it in the PATH that the lab gives, and not in the test's own.
		program, args = "env", append([]string{"kubectl"}, args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = b.environ
	return cmd
}

// kubectl runs kubectl and returns what it prints.
func (b *bench) kubectl(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), within)
	defer cancel()
	out, err := b.command(ctx, "kubectl", args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// in runs kubectl in the case's namespace.
func (b *bench) in(args ...string) string {
	b.t.Helper()
	return b.kubectl(append([]string{"--namespace", b.namespace}, args...)...)
}

// wait waits for a condition of kubectl's.
func (b *bench) wait(args ...string) {
	b.t.Helper()
	b.in(append([]string{"wait", "--timeout", within.String()}, args...)...)
}

// eventually waits until done holds.
func (b *bench) eventually(what string, done func() bool) {
	b.t.Helper()
	err := wait.PollUntilContextTimeout(b.t.Context(), time.Second, within, true, func(context.Context) (bool, error) { return done(), nil })
	if err != nil {
		b.t.Fatalf("%s: not within %s", what, within)
	}
}

// says runs kubectl-maek and returns what it prints, and its exit code.
func (b *bench) says(args ...string) (string, int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), within)
	defer cancel()
	cmd := b.command(ctx, b.maek, append(args, "--namespace", b.namespace)...)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if exited, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || !exited.Exited()) {
		b.t.Fatalf("kubectl-maek %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	if code := cmd.ProcessState.ExitCode(); code > partly {
		b.t.Fatalf("kubectl-maek %s: exit code %d\n%s", strings.Join(args, " "), code, errOut.String())
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// The exit codes of a diagnosis; those above are complaints about the command line, and crashes.
const (
	wrong  = 1
	partly = 2
)

// holds checks that a page says all of these. Where its lines break does not matter.
func (b *bench) holds(page string, want ...string) {
	b.t.Helper()
	flat := strings.Join(strings.Fields(page), " ")
	for _, text := range want {
		if !strings.Contains(flat, text) {
			b.t.Errorf("it does not say %q:\n%s", text, page)
		}
	}
}

// document is what is read of kubectl maek probe -o json.
type document struct {
	Verdict string `json:"verdict"`
	Pods    []struct {
		Name       string `json:"name"`
		Ready      bool   `json:"ready"`
		Containers []struct {
			Restarts int `json:"restarts"`
			Probes   []struct {
				Kind   string `json:"kind"`
				Counts struct {
					Failed  int            `json:"failed"`
					Killed  int            `json:"killed"`
					Metrics map[string]int `json:"metrics"`
				} `json:"counts"`
			} `json:"probes"`
		} `json:"containers"`
	} `json:"pods"`
}

// probes reads kubectl maek probe -o json.
func (b *bench) probes(target string) document {
	b.t.Helper()
	out, _ := b.says("probe", target, "--output", "json")
	var d document
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		b.t.Fatalf("reading %s: %v", out, err)
	}
	return d
}

// stream is what kubectl maek probe --watch tells.
type stream struct {
	b     *bench
	lines <-chan string
	told  []string
}

// watch begins to watch, and returns when the first state has been told.
func (b *bench) watch(target string) *stream {
	b.t.Helper()
	cmd := b.command(b.t.Context(), b.maek, "probe", target, "--watch", "--namespace", b.namespace)
	cmd.Stderr = b.t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = within
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	s := &stream{b: b, lines: lines}
	b.t.Cleanup(func() {
		_ = cmd.Wait() // interrupted; that it ends is all
		for line := range lines {
			s.told = append(s.told, line)
		}
		b.t.Logf("watching %s told:\n%s", target, strings.Join(s.told, "\n"))
	})
	s.next("if it fails")
	return s
}

// next waits for a line that has a text. What else is told before is passed over.
func (s *stream) next(text string) {
	s.b.t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		select {
		case line, open := <-s.lines:
			if !open {
				s.b.t.Fatalf("it ended before it told %q", text)
			}
			s.told = append(s.told, line)
			if strings.Contains(line, text) {
				return
			}
		case <-late.C:
			s.b.t.Fatalf("it does not tell %q within %s", text, within)
		}
	}
}

// steps waits for lines that have these texts, in this order.
func (s *stream) steps(texts ...string) {
	s.b.t.Helper()
	for _, text := range texts {
		s.next(text)
	}
}

// together waits for lines that have these texts, in whatever order and also just before the newest line: what
// happens together may be told in another order than that of its causes.
func (s *stream) together(texts ...string) {
	s.b.t.Helper()
	for _, text := range texts {
		recent := s.told[max(0, len(s.told)-len(texts)-1):]
		if !slices.ContainsFunc(recent, func(line string) bool { return strings.Contains(line, text) }) {
			s.next(text)
		}
	}
}

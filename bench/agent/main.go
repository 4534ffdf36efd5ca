// Agent measures agents that run on this machine, or in the lab's machines on it: memory and processor
// time from /proc, over a time, and how long it takes from a command, such as one that stops a kubelet, until
// /diagnosis tells of it.
//
//	go run ./bench/agent -for 5m
//	go run ./bench/agent -node w2 -break 'bin/lab exec w2 -- systemctl stop kubelet' -mend 'bin/lab exec w2 -- systemctl start kubelet'
//
// It runs as root, for it enters each agent's own root to find its socket.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/bench/process"
	"github.com/maek-dev/maek/internal/monitor"
)

func main() {
	var o options
	flag.DurationVar(&o.duration, "for", time.Minute, "how long to measure")
	flag.StringVar(&o.node, "node", "", "measure the agent of this node only")
	flag.StringVar(&o.breaking, "break", "", "a shell command that breaks something; how long until it is told is measured")
	flag.StringVar(&o.mending, "mend", "", "a shell command that mends it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

// options say what is measured.
type options struct {
	duration                time.Duration
	node, breaking, mending string
}

func run(ctx context.Context, out io.Writer, o options) error {
	agents, err := find(o.node)
	if err != nil {
		return err
	}
	if o.breaking == "" {
		return usage(ctx, out, agents, o.duration)
	}
	if len(agents) != 1 {
		return errors.New("-break is about one agent: name it with -node")
	}
	return latency(ctx, out, agents[0], o.breaking, o.mending)
}

// agent is a running agent.
type agent struct {
	pid  int
	node string
}

// find looks for processes that are agents, by their program's name and their environment.
func find(node string) ([]agent, error) {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []agent
	for _, path := range paths {
		name, err := os.ReadFile(filepath.Join(path, "comm"))
		if err != nil || strings.TrimSpace(string(name)) != "maek-agent" {
			continue
		}
		environment, err := os.ReadFile(filepath.Join(path, "environ"))
		if err != nil {
			return nil, fmt.Errorf("reading the environment of an agent: %w", err)
		}
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		for variable := range strings.SplitSeq(string(environment), "\x00") {
			if name, ok := strings.CutPrefix(variable, "NODE_NAME="); ok && (node == "" || name == node) {
				out = append(out, agent{pid, name})
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no agent runs here")
	}
	slices.SortFunc(out, func(a, b agent) int { return cmp.Compare(a.node, b.node) })
	return out, nil
}

// sample is what an agent uses at one moment.
type sample struct {
	// cpu is the processor time so far.
	cpu time.Duration
	// rss and file are in KiB; file is the part that maps files.
	rss, file int
	requests  map[string]float64
}

func (a agent) sample(ctx context.Context) (sample, error) {
	var s sample
	use, err := process.Of(a.pid)
	if err != nil {
		return s, fmt.Errorf("measuring the agent of %s: %w", a.node, err)
	}
	s.cpu, s.rss, s.file = use.Processor, int(use.Resident/1024), int(use.Files/1024)
	s.requests, err = a.requests(ctx)
	return s, err
}

// client asks an agent at its socket.
func (a agent) client() *http.Client {
	socket := fmt.Sprintf("/proc/%d/root%s", a.pid, monitor.SocketPath)
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}}}
}

func (a agent) get(ctx context.Context, client *http.Client, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the agent of %s: %w", a.node, err)
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// requests that the agent sent to the API server so far, by verb.
func (a agent) requests(ctx context.Context) (map[string]float64, error) {
	data, err := a.get(ctx, a.client(), monitor.MetricsPath)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(line, `maek_agent_apiserver_requests_total{verb="`)
		if !ok {
			continue
		}
		verb, value, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		if out[verb], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("reading metrics: %w", err)
		}
	}
	return out, nil
}

// usage prints a line for each agent: the highest memory seen, and the processor time of the whole.
func usage(ctx context.Context, out io.Writer, agents []agent, duration time.Duration) error {
	first, last, most := map[int]sample{}, map[int]sample{}, map[int]int{}
	began := time.Now()
	for {
		for _, a := range agents {
			s, err := a.sample(ctx)
			if err != nil {
				return err
			}
			if _, ok := first[a.pid]; !ok {
				first[a.pid] = s
			}
			last[a.pid], most[a.pid] = s, max(most[a.pid], s.rss)
		}
		if time.Since(began) >= duration {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Second):
		}
	}
	took := time.Since(began)
	for _, a := range agents {
		f, l := first[a.pid], last[a.pid]
		var requests []string
		for verb, n := range l.requests {
			requests = append(requests, fmt.Sprintf("%s %.1f", verb, (n-f.requests[verb])/took.Minutes()))
		}
		slices.Sort(requests)
		_, err := fmt.Fprintf(out, "%-8s RSS %.1f MiB now (%.1f of files), %.1f at most; %.2f %% of a core over %s; API requests a minute: %s\n",
			a.node, float64(l.rss)/1024, float64(l.file)/1024, float64(most[a.pid])/1024,
			100*(l.cpu-f.cpu).Seconds()/took.Seconds(), took.Round(time.Second), strings.Join(requests, ", "))
		if err != nil {
			return err
		}
	}
	return nil
}

// latency prints how long it takes from the end of a command until an incident is told that was not told
// before it.
func latency(ctx context.Context, out io.Writer, a agent, breaking, mending string) (err error) {
	client := a.client()
	before, err := a.incidents(ctx, client)
	if err != nil {
		return err
	}
	if mending != "" {
		defer func() { err = errors.Join(err, shell(context.WithoutCancel(ctx), mending)) }()
	}
	if err := shell(ctx, breaking); err != nil {
		return err
	}
	began := time.Now()
	for time.Since(began) < time.Minute {
		now, err := a.incidents(ctx, client)
		if err != nil {
			return err
		}
		for id, title := range now {
			if _, known := before[id]; !known {
				_, err := fmt.Fprintf(out, "%-8s told after %.1f s: %s\n", a.node, time.Since(began).Seconds(), title)
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("nothing was told within a minute")
}

func (a agent) incidents(ctx context.Context, client *http.Client) (map[string]string, error) {
	data, err := a.get(ctx, client, monitor.DiagnosisPath)
	if err != nil {
		return nil, err
	}
	var doc v1alpha1.Diagnosis
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("reading a diagnosis: %w", err)
	}
	out := map[string]string{}
	for _, i := range doc.Incidents {
		out[i.ID] = i.Title
	}
	return out, nil
}

func shell(ctx context.Context, command string) error {
	c := exec.CommandContext(ctx, "sh", "-c", command)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("running %q: %w", command, err)
	}
	return nil
}

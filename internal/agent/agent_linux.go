// Package agent is the program on every machine of a cluster: it runs the monitors, judges what they see,
// tells the cluster of it where it is told to, and answers those who ask, with and without an API server.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/agent/access"
	"github.com/maek-dev/maek/internal/agent/apiserver"
	"github.com/maek-dev/maek/internal/agent/cluster"
	"github.com/maek-dev/maek/internal/agent/condition"
	"github.com/maek-dev/maek/internal/agent/diagnose"
	"github.com/maek-dev/maek/internal/agent/identity"
	"github.com/maek-dev/maek/internal/agent/mesh"
	"github.com/maek-dev/maek/internal/agent/metrics"
	"github.com/maek-dev/maek/internal/agent/prober"
	"github.com/maek-dev/maek/internal/agent/serve"
	"github.com/maek-dev/maek/internal/agent/state"
	"github.com/maek-dev/maek/internal/diagnosis"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors"
	"github.com/maek-dev/maek/internal/monitors/logs"
	"github.com/maek-dev/maek/internal/rule"
)

// Options of an agent.
type Options struct {
	// Version of the program.
	Version string
	// Root is where the host's file system is.
	Root string
	// Node is the name of the Node object of the machine.
	Node string
	// Namespace of the agents' pods.
	Namespace string
	// StatePath and SocketPath are where its own folder and its socket are.
	StatePath, SocketPath string
	// Port at which it serves, on all addresses of the machine.
	Port uint16
	// Config of the API server; nil where there is none to be asked.
	Config *rest.Config
	// NodeConditions tells whether to write conditions and events.
	NodeConditions bool
	// Logs says what the monitor of logs does beyond its own catalogue.
	Logs logs.Options
	// Rules that judge.
	Rules []rule.Rule
	// Clock of the machine.
	Clock clock.PassiveClock
	// Log of the program.
	Log *slog.Logger
}

// aliveFor is how old the newest look of any monitor may be: all look more often.
const aliveFor = 3 * time.Minute

// Validate says in a sentence what of the options cannot be.
func (o Options) Validate() error {
	folder := o.Logs.ProblemDetector
	if folder == "" {
		if o.Logs.RunPlugins {
			return errors.New("--run-plugins runs those of node-problem-detector's files: name their folder with --node-problem-detector-config")
		}
		return nil
	}
	_, err := monitor.Host{Root: o.Root}.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--node-problem-detector-config: there is no folder %s on this machine", folder)
	case err != nil:
		return fmt.Errorf("--node-problem-detector-config: the folder %s of this machine cannot be read: %w", folder, err)
	}
	return nil
}

// Run is an agent's life, until the context ends. An error says why it cannot be one.
func Run(ctx context.Context, o Options) error {
	folder, err := state.Open(o.StatePath, fmt.Sprintf("maek-agent %s, since %s", o.Version, o.Clock.Now().UTC().Format(time.RFC3339)))
	if err != nil {
		return err
	}
	a, err := assemble(ctx, o, folder)
	if err == nil {
		err = a.run(ctx)
	}
	return errors.Join(err, folder.Close())
}

// agent is its parts, put together.
type agent struct {
	o       Options
	own     identity.Own
	client  *apiserver.Client
	view    *cluster.View
	clients *identity.Clients
	runner  *monitor.Runner
	keeper  *condition.Keeper
	server  *serve.Server
	mesh    *mesh.Mesh
}

func assemble(ctx context.Context, o Options, folder *state.Folder) (*agent, error) {
	a := &agent{o: o}
	var err error
	a.own, err = identity.Load(folder, o.Node)
	if errors.Is(err, identity.ErrUnkept) {
		o.Log.Warn("after a restart, peers must ask the API server for another key", "error", err)
	} else if err != nil {
		return nil, err
	}
	if err := a.connect(folder); err != nil {
		return nil, err
	}
	a.clients = identity.NewClients(a.own, o.Port)
	a.view.OnChange(func() { a.clients.Forget(a.view.Peers()) })

	id := monitor.Identity{Machine: hostname(o.Root), Node: o.Node}
	host := monitor.Host{Root: o.Root, Node: o.Node, Now: o.Clock.Now, Store: folder}
	if err := a.join(host); err != nil {
		return nil, err
	}
	watched := append(monitors.All(host, o.Logs), a.view.Monitor(), a.mesh.Monitor())
	lookTogether(watched, "units", "kubelet", "cri")
	var diagnoser *diagnose.Diagnoser
	a.runner = monitor.NewRunner(id, watched, o.Clock.Now, func() { diagnoser.Looked() })
	diagnoser = diagnose.New(id, a.runner.Report, o.Rules, o.Clock.Now)

	writer := condition.Writer(nil)
	if a.client != nil {
		writer = apiserver.Conditions{Client: a.client, Node: o.Node}
	}
	a.keeper, err = condition.New(condition.Options{
		Node: o.Node, UID: func() string { return a.view.Self().UID }, Diagnose: diagnoser.Diagnose,
		Writer: writer, Withdraw: !o.NodeConditions, Store: folder, Now: o.Clock.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	source := metrics.Source{
		Version: o.Version, Monitors: a.runner.States, Problems: a.keeper.Problems,
		Diagnose: func() diagnosis.Diagnosis { return diagnoser.Diagnose(ctx) },
		Rules:    diagnoser.Spent,
	}
	var reviewer access.Reviewer
	if a.client != nil {
		source.Requests, reviewer = a.client.Requests, a.client
	}
	guard := access.New(reviewer, a.view.ClientCA, o.Clock)
	began := o.Clock.Now()
	a.server = serve.New(serve.Options{
		Source: a.view, Client: a.clients.For, Check: guard.Check, Report: a.runner.Report, Diagnose: diagnoser.Diagnose,
		Prober:  prober.New(prober.Options{Host: host, Others: a.others, Now: o.Clock.Now}),
		Alive:   func() bool { return a.alive(began) },
		Metrics: metrics.Handler(source), Mesh: a.mesh.Handler(), Now: o.Clock.Now, Log: o.Log,
	})
	return a, nil
}

// others are the addresses of the cluster's other machines.
func (a *agent) others() []netip.Addr {
	var out []netip.Addr
	for _, p := range a.view.Peers() {
		out = append(out, p.Addresses...)
	}
	return out
}

// lookTogether lets monitors look when another sees a change. A unit that was stopped is told of by
// systemd at once; what its program does not answer any more would be seen later, and until then the one
// would seem to contradict the other.
func lookTogether(watched []monitor.Monitor, first string, others ...string) {
	i := slices.IndexFunc(watched, func(m monitor.Monitor) bool { return m.Name == first })
	if i < 0 {
		return
	}
	for n, m := range watched {
		if m.Watch == nil && slices.Contains(others, m.Name) {
			watched[n].Watch = watched[i].Watch
		}
	}
}

// connect makes the client of the API server, which itself sends nothing, and the view.
func (a *agent) connect(folder *state.Folder) error {
	var err error
	if a.o.Config != nil {
		config := rest.CopyConfig(a.o.Config)
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return a.dial(ctx, network, address)
		}
		if a.client, err = apiserver.New(config, a.o.Clock.Now); err != nil {
			return err
		}
	}
	a.view, err = cluster.New(cluster.Options{
		Node: a.o.Node, Namespace: a.o.Namespace, Store: folder, Client: a.client, Now: a.o.Clock.Now, Log: a.o.Log,
	})
	return err
}

// dialTimeout for one address of the API server.
const dialTimeout = 3 * time.Second

// dial reaches the API server at its Service, or, where the machine's service proxy is what is broken, at
// one of the endpoints that are known. Its certificate is held against the Service's address all the same.
func (a *agent) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil || a.view == nil {
		return conn, err
	}
	service, ok := a.view.Service("kubernetes")
	host, _, splitErr := net.SplitHostPort(address)
	if !ok || splitErr != nil || len(service.Addresses) == 0 || service.Addresses[0].String() != host {
		return nil, err
	}
	errs := []error{err}
	for _, endpoint := range a.view.Endpoints("kubernetes") {
		conn, err := dialer.DialContext(ctx, network, endpoint.At.String())
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (a *agent) run(ctx context.Context) error {
	var listen net.ListenConfig
	network, err := listen.Listen(ctx, "tcp", fmt.Sprintf(":%d", a.o.Port))
	if err != nil {
		return fmt.Errorf("listening for peers: %w; is another agent here", err)
	}
	socket, err := listenSocket(ctx, a.o.SocketPath)
	if err != nil {
		return errors.Join(err, network.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { a.runner.Run(ctx) })
	wg.Go(func() { a.view.Run(ctx) })
	wg.Go(func() { a.keeper.Run(ctx) })
	wg.Go(func() { a.mesh.Run(ctx) })
	wg.Go(func() { a.trimMemory(ctx) })
	if a.client != nil {
		wg.Go(func() { a.view.Publish(ctx, a.own.Fingerprint) })
	}
	a.o.Log.Info("the agent runs", "version", a.o.Version, "node", a.o.Node, "key", a.own.Fingerprint, "peers", len(a.view.Peers()))
	err = a.server.Serve(ctx, network, socket, a.own.Server())
	cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	patience := time.NewTimer(endWithin)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		a.o.Log.Warn("something hangs; the agent ends without it")
	}
	return err
}

// endWithin is how long the parts may take to end: less than a pod is given before it is killed.
const endWithin = 5 * time.Second

// listenSocket opens the socket for root. One that an earlier process left is in the way: the lock of the
// agent's folder says that there is no other.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for root: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the socket to others: %w", err), l.Close())
	}
	return l, nil
}

// alive tells whether monitors look.
func (a *agent) alive(began time.Time) bool {
	newest := began
	for _, s := range a.runner.States() {
		if s.Read.After(newest) {
			newest = s.Read
		}
	}
	return a.o.Clock.Since(newest) < aliveFor
}

// hostname is the machine's own name. On the host network a pod has it too, but the kernel's table below
// the host's root is the host's in any case.
func hostname(root string) string {
	data, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/hostname"))
	if err != nil {
		name, _ := os.Hostname()
		return name
	}
	return strings.TrimSpace(string(data))
}

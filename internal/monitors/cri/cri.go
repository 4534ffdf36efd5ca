// Package cri watches the container runtime of a machine through the socket that its kubelet uses: does
// it answer, is it ready, and which pods' containers run there, whatever the API server believes.
//
// It speaks gRPC with the types of k8s.io/cri-api: that takes 2.4 MiB of memory of its own where
// k8s.io/cri-client would bring tracing, and keeps no connection between two looks.
package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// How the runtime answered, as cri/answer says it.
const (
	answered = "yes"
	absent   = "absent"
	refused  = "refused"
	hung     = "hung"
	denied   = "denied"
	failed   = "error"
)

const (
	interval = 15 * time.Second
	timeout  = 12 * time.Second
	// patience is how long the runtime may take to say how it is. It answers that from memory.
	patience = 4 * time.Second
	// listPatience is how long a list may take.
	listPatience = 5 * time.Second
	// largestAnswer bounds one answer, as the kubelet does (k8s.io/cri-client/pkg/remote_runtime.go,
	// maxMsgSize).
	largestAnswer = 16 << 20
	smallBuffer   = 8 << 10
)

// New makes the monitor.
func New(host monitor.Host) monitor.Monitor {
	w := &watcher{host: host, addresses: map[string]string{}}
	return monitor.Monitor{
		Name:     "cri",
		Doc:      "asks the container runtime, through the socket that the kubelet uses, how it is and what it runs",
		Keys:     keys,
		Requires: []monitor.Privilege{monitor.HostFiles, monitor.RuntimeSocket},
		Interval: interval, Timeout: timeout,
		Observe: w.observe,
	}
}

var keys = []monitor.Key{
	{Pattern: "cri/endpoint", Doc: "path of the runtime's socket"},
	{Pattern: "cri/source", Doc: "what names it: kubelet configuration, kubelet arguments, known socket"},
	{Pattern: "cri/answer", Doc: "how it answers: yes, absent (no socket), refused (a socket behind which nobody is), hung (no answer in 4 s), denied, error; At is since when, where that was seen to change"},
	{Pattern: "cri/error", Doc: "why it did not answer"},
	{Pattern: "cri/seconds", Doc: "how long it took to say how it is"},
	{Pattern: "cri/runtime", Doc: "name of the runtime"},
	{Pattern: "cri/version", Doc: "version of the runtime"},
	{Pattern: "cri/condition/*/status", Doc: "true or false for a condition that the runtime tells: RuntimeReady, NetworkReady, and its own; At is since when, where that was seen to change"},
	{Pattern: "cri/condition/*/reason", Doc: "why, in a word"},
	{Pattern: "cri/condition/*/message", Doc: "why, in the runtime's words"},
	{Pattern: "cri/image-filesystem/*/used", Doc: "bytes that images and writable layers use at a mount point"},
	{Pattern: "cri/image-filesystem/*/inodes", Doc: "inodes that they use"},
	{Pattern: "cri/sandboxes/ready", Doc: "pod sandboxes that are ready"},
	{Pattern: "cri/sandboxes/not-ready", Doc: "pod sandboxes that are not: ended, and not yet removed"},
	{Pattern: "sandbox/*/pod", Doc: "by the pod's UID, its namespace/name, of the newest of its sandboxes as all below"},
	{Pattern: "sandbox/*/state", Doc: "ready or not-ready"},
	{Pattern: "sandbox/*/created", Doc: "when the sandbox was made"},
	{Pattern: "sandbox/*/ip", Doc: "the pod's address; absent for pods in the host's network"},
	{Pattern: "sandbox/*/static", Doc: "true for a pod of a manifest on this machine, whose UID the API server does not know"},
	{Pattern: "sandbox/*/running", Doc: "containers that run"},
	{Pattern: "sandbox/*/exited", Doc: "containers that ended and are not yet removed"},
	{Pattern: "sandbox/*/created-only", Doc: "containers that were made and did not start"},
}

// watcher keeps what must be known from one look to the next.
type watcher struct {
	host    monitor.Host
	changes monitor.Changes
	now     time.Time
	// searched is when processes were last looked through for a kubelet, and argument what it said.
	searched time.Time
	argument string
	// addresses of sandboxes by their IDs.
	addresses map[string]string
	out       []snapshot.MachineEvidence
}

func (w *watcher) add(e snapshot.MachineEvidence) { w.out = append(w.out, e) }

// track adds a value with since when it is so, as far as this process saw it change.
func (w *watcher) track(e snapshot.MachineEvidence) { w.add(w.changes.Since(e)) }

func (w *watcher) observe(ctx context.Context) ([]snapshot.MachineEvidence, error) {
	w.now, w.out = w.host.Now(), nil
	w.changes.Look(w.now)
	socket, source, err := w.endpoint()
	if socket == "" {
		return nil, err
	}
	w.add(monitor.Value("cri/endpoint", socket))
	w.add(monitor.Value("cri/source", source))
	return w.out, errors.Join(err, w.ask(ctx, socket))
}

// ask asks the runtime behind a socket.
func (w *watcher) ask(ctx context.Context, socket string) error {
	path, err := w.host.Path(socket)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		w.answer(absent, socket+" does not exist")
		return nil
	}
	var dialErr error
	conn, err := grpc.NewClient("passthrough:///runtime", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(largestAnswer)), grpc.WithReadBufferSize(smallBuffer), grpc.WithWriteBufferSize(smallBuffer),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry())
	if err != nil {
		return fmt.Errorf("dialling the container runtime: %w", err)
	}
	defer func() { _ = conn.Close() }()
	client := runtimeapi.NewRuntimeServiceClient(conn)
	began := w.host.Now()
	how, err := bounded(ctx, patience, func(ctx context.Context) (*runtimeapi.StatusResponse, error) {
		return client.Status(ctx, &runtimeapi.StatusRequest{})
	})
	if err != nil {
		// gRPC keeps only the words of why it could not connect; the kernel says it again.
		if status.Code(err) == codes.Unavailable {
			dialErr = connectOnce(ctx, path)
		}
		word := classify(err, dialErr)
		w.answer(word, status.Convert(err).Message())
		if word == denied {
			return fmt.Errorf("asking the container runtime at %s: permission denied: it takes root on the machine", socket)
		}
		return nil
	}
	w.answer(answered, "")
	w.add(monitor.Float("cri/seconds", w.host.Now().Sub(began).Seconds()))
	w.tellConditions(how.GetStatus().GetConditions())
	return errors.Join(w.tellVersion(ctx, client), w.tellImages(ctx, runtimeapi.NewImageServiceClient(conn)), w.tellSandboxes(ctx, client))
}

func (w *watcher) answer(word, reason string) {
	w.track(monitor.Value("cri/answer", word))
	if reason != "" {
		w.add(monitor.Value("cri/error", reason))
	}
}

// connectOnce says why a socket cannot be connected to; nil where it can.
func connectOnce(ctx context.Context, path string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	return conn.Close()
}

func classify(err, dialErr error) string {
	switch {
	case errors.Is(dialErr, syscall.ECONNREFUSED):
		return refused
	case errors.Is(dialErr, fs.ErrNotExist):
		return absent
	case errors.Is(dialErr, fs.ErrPermission), status.Code(err) == codes.PermissionDenied:
		return denied
	// A runtime that does not even take connections any more has its backlog full.
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(dialErr, syscall.EAGAIN):
		return hung
	default:
		return failed
	}
}

func bounded[T any](ctx context.Context, patience time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx)
}

//go:build unix

// Package scenarios runs the scenarios that act on a cluster against a real API server, controller
// manager and scheduler, each with exactly the rights that it says it needs, and with those of
// Kuberhealthy's manifests. Only the kubelets and a provisioner of volumes are simulated.
package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

var (
	// admin is allowed everything.
	admin *rest.Config
	// environment adds users to the API server.
	environment *envtest.Environment
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	programs, ok := apiserver.Programs("test/controlplane/scenarios")
	if !ok {
		return 0
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // no test has begun
	defer cancel()
	environment = &envtest.Environment{}
	var err error
	if admin, err = environment.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "starting etcd and kube-apiserver from %s: %v\n", programs, err)
		return 1
	}
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stopping etcd and kube-apiserver: %v\n", err)
		}
	}()
	stop, err := startControllers(context.WithoutCancel(ctx), programs)
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting the controller manager and the scheduler: %v\n", err)
		return 1
	}
	defer stop()
	nodes, err := startNodes(ctx, admin, "n1", "n2")
	if err != nil {
		fmt.Fprintf(os.Stderr, "starting simulated kubelets: %v\n", err)
		return 1
	}
	defer nodes.Wait()
	defer cancel()
	return m.Run()
}

// startControllers runs kube-controller-manager and kube-scheduler until stop is called.
func startControllers(ctx context.Context, programs string) (stop func(), err error) {
	user, err := environment.AddUser(envtest.User{Name: "controllers", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, err
	}
	config, err := user.KubeConfig()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "scenarios")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "kubeconfig")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	commands := [][]string{
		{"kube-controller-manager", "--use-service-account-credentials=false", "--node-monitor-grace-period=1h"},
		{"kube-scheduler"},
	}
	var running []*exec.Cmd
	stop = func() {
		for _, p := range running {
			if err := p.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				fmt.Fprintln(os.Stderr, err)
			}
			if err := p.Wait(); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(p.Path), err)
			}
		}
		if err := os.RemoveAll(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	for _, arguments := range commands {
		flags := append(slices.Clone(arguments[1:]), "--kubeconfig="+file, "--authentication-kubeconfig="+file, "--authorization-kubeconfig="+file,
			"--leader-elect=false", "--secure-port=0")
		p := exec.CommandContext(ctx, filepath.Join(programs, arguments[0]), flags...)
		p.Stdout, p.Stderr = io.Discard, io.Discard
		if err := p.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("%s: %w", arguments[0], err)
		}
		running = append(running, p)
	}
	return stop, nil
}

package cluster

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/maek-dev/maek/lab/internal/addon"
)

// shopAddon is the addon that a person can do without.
const shopAddon = "shop"

func (l *Lab) addons() []addon.Addon {
	var wanted []addon.Addon
	for _, a := range addon.All() {
		if a.Name != shopAddon || l.Shop {
			wanted = append(wanted, a)
		}
	}
	return wanted
}

func (l *Lab) applyAddons(ctx context.Context) error {
	first := l.machine(l.ControlPlanes()[0])
	if _, err := first.Output(ctx, "kubeadm", "init", "phase", "addon", "coredns", "--config", kubeadmConfigPath); err != nil {
		return fmt.Errorf("installing CoreDNS: %w", err)
	}
	for _, a := range l.addons() {
		if _, err := l.Kubectl(ctx, string(a.Manifest), "apply", "--server-side", "-f", "-"); err != nil {
			return fmt.Errorf("installing %s: %w", a.Name, err)
		}
	}
	return nil
}

// waitForAddons waits until CoreDNS, which kubeadm installs, and every addon are rolled out, all at the same time.
func (l *Lab) waitForAddons(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	wait := func(name string, workloads []addon.Workload) {
		group.Go(func() error {
			return l.Progress.Step(name+" ready", func() error { return l.waitForRollouts(ctx, workloads) })
		})
	}
	wait("CoreDNS", []addon.Workload{{Kind: "Deployment", Namespace: "kube-system", Name: "coredns"}})
	for _, a := range l.addons() {
		workloads, err := a.Workloads()
		if err != nil {
			return err
		}
		wait(a.Name, workloads)
	}
	return group.Wait()
}

func (l *Lab) waitForRollouts(ctx context.Context, workloads []addon.Workload) error {
	for _, w := range workloads {
		_, err := l.Kubectl(ctx, "", "rollout", "status", w.Kind+"/"+w.Name, "--namespace", w.Namespace, "--timeout", readyTimeout.String())
		if err != nil {
			return err
		}
	}
	return nil
}

package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/maek-dev/maek/lab/internal/image"
	"github.com/maek-dev/maek/lab/internal/machine"
	"github.com/maek-dev/maek/lab/internal/node"
)

// readyTimeout is how long nodes and addons may take to be ready: seconds on an idle host.
const readyTimeout = 5 * time.Minute

// nodePoll is how often the nodes are looked at until they are ready.
const nodePoll = 300 * time.Millisecond

// Describe turns the options into the description of a lab that is to be made.
func Describe(o Options) (Description, error) {
	machines, err := machine.Plan(o.ControlPlanes, o.Workers)
	if err != nil {
		return Description{}, err
	}
	return Description{
		Machines: machines, FlannelStore: o.FlannelStore, Docker: o.Docker, Shop: o.Shop,
		Token: newToken(), CertificateKey: newCertificateKey(),
	}, nil
}

// images are what is made of the built programs.
type images struct {
	machine      []image.Archive // every machine has them
	controlPlane []image.Archive // control planes have them too
	registry     []image.Archive // the switch serves them
}

// Build makes everything that is kept between labs: programs, images and the machines' root.
func (l *Lab) Build(ctx context.Context) (machine.Root, error) {
	root, _, err := l.build(ctx)
	return root, err
}

func (l *Lab) build(ctx context.Context) (machine.Root, images, error) {
	if err := l.Programs.Build(ctx); err != nil {
		return machine.Root{}, images{}, err
	}
	var made images
	err := l.Progress.Step("images made of the programs", func() error {
		for _, set := range []struct {
			specs func(image.Finder) ([]image.Spec, error)
			into  *[]image.Archive
		}{
			{image.Machine, &made.machine}, {image.ControlPlane, &made.controlPlane}, {image.Registry, &made.registry},
		} {
			specs, err := set.specs(l.Programs)
			if err != nil {
				return err
			}
			if *set.into, err = image.SaveMissing(l.Programs.Dir, specs); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return machine.Root{}, images{}, err
	}
	root := machine.NewRoot(l.Programs.Dir, machine.Packages(l.Docker))
	if !root.Exists() {
		err = l.Progress.Step("Debian root of the machines made with debootstrap", func() error { return root.Make(ctx, l.Journal) })
	}
	return root, made, err
}

// Up makes the cluster and waits until all of it works. What it has made when it fails stays, for people to look at and
// for `lab down` to remove.
func (l *Lab) Up(ctx context.Context) error {
	root, made, err := l.build(ctx)
	if err != nil {
		return err
	}
	if err := l.start(ctx, made); err != nil {
		return err
	}
	if err := l.form(ctx, root, made); err != nil {
		return err
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	l.Ready = true
	return l.Directory.Save(l.Description)
}

// start makes what is beside the machines.
func (l *Lab) start(ctx context.Context, made images) error {
	// Pods of any user write into folders of their own in it.
	if err := os.MkdirAll(l.Directory.Path("storage"), 0o755); err != nil {
		return fmt.Errorf("making the shared storage: %w", err)
	}
	if err := l.linkPrograms(); err != nil {
		return err
	}
	err := l.Progress.Step("switch with name server, registries and a way in", func() error {
		return l.startServices(ctx, made.registry)
	})
	if err != nil {
		return err
	}
	return l.Directory.Save(l.Description)
}

// form boots the machines and makes them one cluster, each as soon as what it waits for is there.
func (l *Lab) form(ctx context.Context, root machine.Root, made images) error {
	group, ctx := errgroup.WithContext(ctx)
	prepared := make(map[string]chan struct{})
	for _, spec := range l.Machines {
		done := make(chan struct{})
		prepared[spec.Name] = done
		set := made.machine
		if spec.Role == machine.ControlPlane {
			set = append(append([]image.Archive(nil), made.controlPlane...), made.machine...)
		}
		group.Go(func() error {
			if err := l.prepare(ctx, spec, root, set); err != nil {
				return err
			}
			close(done)
			return nil
		})
	}
	initialized := make(chan struct{})
	group.Go(func() error {
		first := l.ControlPlanes()[0]
		if err := await(ctx, prepared[first.Name]); err != nil {
			return err
		}
		if err := l.Progress.Step(first.Name+": control plane made with kubeadm init", func() error { return l.initialize(ctx) }); err != nil {
			return err
		}
		// Their disks must be there before credentials can be written to them.
		for _, spec := range l.Machines {
			if err := await(ctx, prepared[spec.Name]); err != nil {
				return err
			}
		}
		if l.FlannelStore == node.StoreKubernetes {
			if err := l.apply(ctx, "flannel.yaml"); err != nil {
				return err
			}
		}
		if err := l.distributeCredentials(ctx); err != nil {
			return err
		}
		close(initialized)
		return nil
	})
	group.Go(func() error {
		if err := await(ctx, initialized); err != nil {
			return err
		}
		if err := l.startNetwork(ctx, l.ControlPlanes()[0]); err != nil {
			return err
		}
		// etcd takes one new member at a time.
		for _, spec := range l.ControlPlanes()[1:] {
			if err := l.joinStep(ctx, spec); err != nil {
				return err
			}
		}
		return nil
	})
	for _, spec := range l.Workers() {
		group.Go(func() error {
			if err := await(ctx, initialized); err != nil {
				return err
			}
			return l.joinStep(ctx, spec)
		})
	}
	return group.Wait()
}

func (l *Lab) joinStep(ctx context.Context, spec machine.Spec) error {
	return l.Progress.Step(spec.Name+": joined", func() error {
		if err := l.join(ctx, spec); err != nil {
			return err
		}
		return l.startNetwork(ctx, spec)
	})
}

func (l *Lab) apply(ctx context.Context, name string) error {
	content, err := files.ReadFile("files/" + name)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	_, err = l.Kubectl(ctx, string(content), "apply", "--server-side", "-f", "-")
	return err
}

// finish waits until every node is ready, installs the addons and waits until they are ready.
func (l *Lab) finish(ctx context.Context) error {
	err := l.Progress.Step(fmt.Sprintf("%d nodes ready", len(l.Machines)), func() error {
		return l.waitForNodes(ctx, l.Machines, "ready", func(n NodeState) bool { return n.Readiness == nodeReady })
	})
	if err == nil {
		// Only now, so that the scheduler spreads their pods over all nodes.
		err = l.Progress.Step("addons applied", func() error { return l.applyAddons(ctx) })
	}
	if err == nil {
		err = l.waitForAddons(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, l.diagnosis(ctx))
	}
	return nil
}

// waitForNodes waits until what the API says about each of the machines' nodes is as wanted.
func (l *Lab) waitForNodes(ctx context.Context, specs []machine.Spec, what string, wanted func(NodeState) bool) error {
	var missing []string
	err := wait.PollUntilContextTimeout(ctx, nodePoll, readyTimeout, true, func(ctx context.Context) (bool, error) {
		nodes := l.Nodes(ctx)
		missing = nil
		for _, spec := range specs {
			if !wanted(nodes[spec.Name]) {
				missing = append(missing, spec.Name)
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for nodes to be %s, which %s are not: %w", what, strings.Join(missing, ", "), err)
	}
	return nil
}

// diagnosis shows what a person would look at first.
func (l *Lab) diagnosis(ctx context.Context) string {
	ctx = context.WithoutCancel(ctx)
	var text strings.Builder
	for _, args := range [][]string{
		{"get", "nodes", "-o", "wide"},
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-A", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"},
	} {
		out, err := l.Kubectl(ctx, "", append(args, "--request-timeout=5s")...)
		if err != nil {
			out = err.Error()
		}
		lines := strings.Split(out, "\n")
		fmt.Fprintf(&text, "kubectl %s:\n%s\n", strings.Join(args, " "), strings.Join(lines[max(0, len(lines)-2*tailLines):], "\n"))
	}
	return text.String()
}

// await waits until another part of the work is done. A part that fails ends ctx.
func await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

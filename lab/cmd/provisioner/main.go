// Command provisioner makes the volumes of the lab's StorageClass "shared".
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"github.com/maek-dev/maek/lab/internal/sharedvolume"
)

func main() {
	root := flag.String("root", "/srv/shared", "`folder` to make volumes in, the same on all machines")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *root)
	stop()
	if err != nil {
		slog.Error("provisioner ended", "err", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string) error {
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	slog.Info("making volumes", "root", root, "provisioner", sharedvolume.Name)
	controller.NewProvisionController(ctx, client, sharedvolume.Name, sharedvolume.Provisioner{Root: root}).Run(ctx)
	return nil
}

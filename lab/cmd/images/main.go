// Command images makes container images of Maek's programs, as archives that
// "ctr -n k8s.io images import" and "docker load" read. It needs neither a
// container engine nor a registry.
//
//	images -bin DIR -out DIR -version TAG [PROGRAM...]
//	images -out DIR -busybox FILE
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/maek-dev/maek/lab/internal/image"
)

func main() {
	bin := flag.String("bin", "bin", "`folder` with the built programs")
	out := flag.String("out", "dist/images", "`folder` to write the archives to")
	version := flag.String("version", "dev", "`tag` of the images")
	busybox := flag.String("busybox", "", "make an image of this static busybox alone, for tests: a `file`")
	flag.Parse()
	if *busybox != "" {
		if err := runBusybox(*busybox, *out); err != nil {
			fmt.Fprintln(os.Stderr, "images:", err)
			os.Exit(1)
		}
		return
	}
	programs := flag.Args()
	if len(programs) == 0 {
		programs = image.MaekPrograms()
	}
	if err := run(*bin, *out, *version, programs); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(bin, out, version string, programs []string) error {
	specs, err := image.Maek(bin, version, programs)
	if err != nil {
		return err
	}
	for i, spec := range specs {
		archive := filepath.Join(out, programs[i]+".tar")
		if err := image.Save(archive, spec); err != nil {
			return err
		}
		fmt.Printf("%s\t%s\n", archive, spec.Reference)
	}
	if !slices.Contains(programs, image.Checker) {
		return nil
	}
	checks, err := image.UpstreamChecks(bin, version)
	if err != nil {
		return err
	}
	archive := filepath.Join(out, "kuberhealthy-checks.tar")
	if err := image.SaveTogether(archive, checks); err != nil {
		return err
	}
	fmt.Printf("%s\t%d images of %s under the names of Kuberhealthy's\n", archive, len(checks), image.Checker)
	return nil
}

func runBusybox(program, out string) error {
	spec, err := image.Busybox(context.Background(), program)
	if err != nil {
		return err
	}
	archive := filepath.Join(out, "busybox.tar")
	if err := image.Save(archive, spec); err != nil {
		return err
	}
	fmt.Printf("%s\t%s\n", archive, spec.Reference)
	return nil
}

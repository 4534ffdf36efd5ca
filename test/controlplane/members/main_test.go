//go:build unix

// Package members tests the monitor of etcd against real members on loopback that are stopped, hang, are
// full, hold other data or are another's. The program comes from the lab's build cache: make
// test-controlplane builds it where it is missing, and sets KUBEBUILDER_ASSETS to where it is.
package members

import (
	"fmt"
	"os"
	"testing"
)

const assetsVariable = "KUBEBUILDER_ASSETS"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(assetsVariable) == "" {
		fmt.Fprintf(os.Stderr, "NOT RUN: test/controlplane/members needs etcd; make test-controlplane builds it and sets %s\n", assetsVariable)
		return 0
	}
	return m.Run()
}

//go:build unix

// Package members tests the monitor of etcd against real members on loopback that are stopped, hang, are
// full, hold other data or are another's. The program comes from the lab's build cache: make
// test-controlplane builds it where it is missing, and sets KUBEBUILDER_ASSETS to where it is.
package members

import (
	"os"
	"testing"

	"github.com/maek-dev/maek/test/controlplane/apiserver"
)

// programs is the folder with etcd.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var ok bool
	if programs, ok = apiserver.Programs("test/controlplane/members"); !ok {
		return 0
	}
	return m.Run()
}

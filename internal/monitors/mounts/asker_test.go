//go:build linux

package mounts_test

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/mounts"
)

// TestAsk has one mount that hangs until it is let go, one that fails and one that answers.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() //nolint:forbidigo // the bubble's own clock
		letGo := make(chan struct{})
		var asked atomic.Int32
		statfs := func(path string) (mounts.Space, error) {
			point := filepath.Base(path)
			if point == "dead" {
				asked.Add(1)
				<-letGo
			}
			if point == "stale" {
				return mounts.Space{}, unix.ESTALE
			}
			return mounts.Space{Total: 10, Used: 4, Available: 5}, nil
		}
		host := monitor.Host{Root: "/host", Now: time.Now} //nolint:forbidigo // the bubble's own clock
		a := mounts.NewAsker(host, statfs, 2*time.Second)
		points := []string{"/dead", "/stale", "/well"}

		got := a.Ask(t.Context(), points)
		if err := got["/stale"].Err; !errors.Is(err, unix.ESTALE) {
			t.Errorf("a stale mount answers %v, want %v", err, unix.ESTALE)
		}
		if diff := cmp.Diff(mounts.Answer{Space: mounts.Space{Total: 10, Used: 4, Available: 5}}, got["/well"]); diff != "" {
			t.Errorf("a mount that is well (-want +got):\n%s", diff)
		}
		if since := got["/dead"].Waiting; !since.Equal(start) {
			t.Errorf("a mount that hangs is waited for since %v, want %v", since, start)
		}

		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's own clock
		if since := a.Ask(t.Context(), points)["/dead"].Waiting; !since.Equal(start) || asked.Load() != 1 {
			t.Errorf("asked again after a minute, it is waited for since %v and was asked %d times; want since %v, once", since, asked.Load(), start)
		}

		close(letGo)
		synctest.Wait()
		if got := a.Ask(t.Context(), points)["/dead"]; !got.Waiting.IsZero() || got.Total != 10 {
			t.Errorf("once it answers again it says %+v", got)
		}
	})
}

func TestSystem(t *testing.T) {
	got, err := mounts.System(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got.Total == 0 || got.Used > got.Total || got.Available > got.Total {
		t.Errorf("the file system of temporary files says %+v", got)
	}
	if _, err := mounts.System("/no/such/path"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a path that is not there says %v, want %v", err, unix.ENOENT)
	}
}

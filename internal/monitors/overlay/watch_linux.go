package overlay

import (
	"context"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watchKernel waits until the context ends and tells of changes to devices of pods, to routes through them,
// and to entries that flannel writes. What pods' own traffic changes is not told.
func watchKernel(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 3)
	note := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	links, routes, entries := make(chan netlink.LinkUpdate), make(chan netlink.RouteUpdate), make(chan netlink.NeighUpdate)
	// Each subscription ends its channel when it ends, so that draining them below lets all of them go.
	defer func() {
		cancel()
		for range links {
		}
		for range routes {
		}
		for range entries {
		}
	}()
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: note, ListExisting: true}); err != nil {
		close(links)
		close(routes)
		close(entries)
		return fmt.Errorf("subscribing to changes of network devices: %w", err)
	}
	if err := netlink.RouteSubscribeWithOptions(routes, ctx.Done(), netlink.RouteSubscribeOptions{ErrorCallback: note}); err != nil {
		close(routes)
		close(entries)
		return fmt.Errorf("subscribing to changes of routes: %w", err)
	}
	if err := netlink.NeighSubscribeWithOptions(entries, ctx.Done(), netlink.NeighSubscribeOptions{ErrorCallback: note}); err != nil {
		close(entries)
		return fmt.Errorf("subscribing to changes of neighbours: %w", err)
	}
	return follow(ctx, links, routes, entries, failed, changed)
}

func follow(ctx context.Context, links <-chan netlink.LinkUpdate, routes <-chan netlink.RouteUpdate, entries <-chan netlink.NeighUpdate, failed <-chan error, changed func()) error {
	devices := map[int]bool{}
	lost := errors.New("the kernel ended the subscription")
	for {
		var concerns bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("following the kernel's network tables: %w", err)
		case u, open := <-links:
			if !open {
				return lost
			}
			concerns = isOfPods(u.Attrs().Name)
			if concerns && u.Header.Type == unix.RTM_NEWLINK {
				devices[u.Attrs().Index] = true
			}
		case u, open := <-routes:
			if !open {
				return lost
			}
			concerns = devices[u.LinkIndex]
		case u, open := <-entries:
			if !open {
				return lost
			}
			concerns = devices[u.LinkIndex] && u.State&unix.NUD_PERMANENT != 0
		}
		if concerns {
			changed()
		}
	}
}

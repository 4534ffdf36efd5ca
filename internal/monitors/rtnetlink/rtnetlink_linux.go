// Package rtnetlink lists what the kernel has of interfaces, addresses, routes and neighbours, for the
// monitors that tell of them. It takes no privilege.
package rtnetlink

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// answerTime bounds the wait for one answer of the kernel.
	answerTime = 2 * time.Second
	// attempts is how often a table is listed that changes while it is listed.
	attempts = 3
)

// Open makes a handle with a socket of its own, whose waits are bounded. Its user closes it.
func Open() (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	if err := h.SetSocketTimeout(answerTime); err != nil {
		h.Close()
		return nil, fmt.Errorf("bounding a netlink socket: %w", err)
	}
	return h, nil
}

// Whole lists a table until a listing was not interrupted by a change. After three interruptions it
// returns what there is, with netlink.ErrDumpInterrupted.
func Whole[T any](list func() ([]T, error)) ([]T, error) {
	var out []T
	var err error
	for range attempts {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}

// NeighbourState is a neighbour's state as `ip neigh` names it (uapi/linux/neighbour.h, NUD_*), in lower
// case; "none" where it has none.
func NeighbourState(state int) string {
	switch {
	case state&unix.NUD_PERMANENT != 0:
		return "permanent"
	case state&unix.NUD_REACHABLE != 0:
		return "reachable"
	case state&unix.NUD_STALE != 0:
		return "stale"
	case state&unix.NUD_DELAY != 0:
		return "delay"
	case state&unix.NUD_PROBE != 0:
		return "probe"
	case state&unix.NUD_FAILED != 0:
		return "failed"
	case state&unix.NUD_INCOMPLETE != 0:
		return "incomplete"
	case state&unix.NUD_NOARP != 0:
		return "noarp"
	default:
		return "none"
	}
}

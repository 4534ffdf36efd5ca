package overlay

import (
	"errors"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel reads the tables over a netlink socket of its own. It needs no privilege.
type kernel struct{ handle *netlink.Handle }

// answerTime bounds the wait for one answer of the kernel.
const answerTime = 2 * time.Second

func openKernel() (tables, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := h.SetSocketTimeout(answerTime); err != nil {
		h.Close()
		return nil, err
	}
	return kernel{h}, nil
}

// attempts is how often a table is listed that changes while it is listed.
const attempts = 3

// whole lists a table until a listing was not interrupted by a change.
func whole[T any](list func() ([]T, error)) ([]T, error) {
	var out []T
	var err error
	for range attempts {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}

func (k kernel) Links() ([]netlink.Link, error) { return whole(k.handle.LinkList) }

func (k kernel) Addresses() ([]netlink.Addr, error) {
	return whole(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, unix.AF_UNSPEC) })
}

func (k kernel) Routes() ([]netlink.Route, error) {
	var out []netlink.Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := whole(func() ([]netlink.Route, error) {
			return k.handle.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return out, err
		}
		out = append(out, routes...)
	}
	return out, nil
}

func (k kernel) Neighbours(link, family int) ([]netlink.Neigh, error) {
	return whole(func() ([]netlink.Neigh, error) { return k.handle.NeighList(link, family) })
}

func (k kernel) Close() { k.handle.Close() }

package overlay

import (
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/monitors/rtnetlink"
)

// kernel reads the tables over a netlink socket of its own. It needs no privilege.
type kernel struct{ handle *netlink.Handle }

func openKernel() (tables, error) {
	h, err := rtnetlink.Open()
	if err != nil {
		return nil, err
	}
	return kernel{h}, nil
}

func (k kernel) Links() ([]netlink.Link, error) { return rtnetlink.Whole(k.handle.LinkList) }

func (k kernel) Addresses() ([]netlink.Addr, error) {
	return rtnetlink.Whole(func() ([]netlink.Addr, error) { return k.handle.AddrList(nil, unix.AF_UNSPEC) })
}

func (k kernel) Routes() ([]netlink.Route, error) {
	var out []netlink.Route
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := rtnetlink.Whole(func() ([]netlink.Route, error) {
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
	return rtnetlink.Whole(func() ([]netlink.Neigh, error) { return k.handle.NeighList(link, family) })
}

func (k kernel) Close() { k.handle.Close() }

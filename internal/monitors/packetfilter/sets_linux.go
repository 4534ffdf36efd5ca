package packetfilter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// mostElements bounds how many elements of a set are read for addresses: block lists have tens of thousands.
const mostElements = 256

// lookup reads a condition on a set.
func (r *reader) lookup(e *expr.Lookup) {
	what := r.fields[e.SourceRegister]
	if e.Invert || e.IsDestRegSet || what != portField && what != sourceField && what != destinationField && what != protocolField {
		r.unread(string(what))
		return
	}
	set, err := r.filter.conn.GetSetByName(r.table, e.SetName)
	if err != nil || set.Concatenation {
		r.unread(string(what))
		return
	}
	set.Table = r.table
	elements, err := r.filter.conn.GetSetElements(set)
	if err != nil || len(elements) > mostElements || len(elements) == 0 {
		r.unread(string(what))
		return
	}
	r.among(what, ranges(elements, set.Interval))
}

// among reads that a field is in one of the ranges of a set.
func (r *reader) among(what field, ranges []bounds) {
	switch what { //nolint:exhaustive // sets of others are not looked into
	case portField:
		for _, g := range ranges {
			if len(g.from) == 2 && len(g.to) == 2 {
				r.rule.ports = append(r.rule.ports, span{binary.BigEndian.Uint16(g.from), binary.BigEndian.Uint16(g.to)})
			}
		}
	case sourceField:
		r.rule.sources = append(r.rule.sources, addresses(ranges)...)
	case destinationField:
		r.rule.destinations = append(r.rule.destinations, addresses(ranges)...)
	case protocolField:
		// tcp and udp together are all that has ports.
		if len(ranges) == 1 && len(ranges[0].from) > 0 {
			r.rule.protocol = protocols[ranges[0].from[0]]
		}
	}
}

// bounds are the ends of a range of a set, both in it.
type bounds struct{ from, to []byte }

// ranges are the elements of a set. One of intervals has an element for the begin of each and one for the
// first value behind it; the last may have no end.
func ranges(elements []nftables.SetElement, interval bool) []bounds {
	if !interval {
		var out []bounds
		for _, e := range elements {
			out = append(out, bounds{e.Key, e.Key})
		}
		slices.SortFunc(out, func(a, b bounds) int { return bytes.Compare(a.from, b.from) })
		return out
	}
	elements = slices.Clone(elements)
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		if c := bytes.Compare(a.Key, b.Key); c != 0 || a.IntervalEnd == b.IntervalEnd {
			return c
		}
		if a.IntervalEnd {
			return -1
		}
		return 1
	})
	var out []bounds
	for i, e := range elements {
		if e.IntervalEnd {
			continue
		}
		last := bytes.Repeat([]byte{0xff}, len(e.Key))
		if i+1 < len(elements) && elements[i+1].IntervalEnd {
			last = before(elements[i+1].Key)
		}
		out = append(out, bounds{e.Key, last})
	}
	return out
}

// before is the number that comes before one, as bytes of the same length.
func before(b []byte) []byte {
	out := slices.Clone(b)
	for i := len(out) - 1; i >= 0; i-- {
		out[i]--
		if out[i] != 0xff {
			break
		}
	}
	return out
}

// addresses are ranges as addresses or prefixes, and as first-last where they are none.
func addresses(all []bounds) []string {
	var out []string
	for _, g := range all {
		from, ok := netip.AddrFromSlice(g.from)
		to, okTo := netip.AddrFromSlice(g.to)
		if !ok || !okTo {
			continue
		}
		text := from.String() + "-" + to.String()
		for bits := from.BitLen(); bits >= 0; bits-- {
			p := netip.PrefixFrom(from, bits).Masked()
			if p.Addr() != from {
				break
			}
			if lastOf(p) == to {
				text = prefixText(p)
				break
			}
		}
		out = append(out, text)
	}
	return out
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

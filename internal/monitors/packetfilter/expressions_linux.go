package packetfilter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// field is what a register of a rule holds.
type field string

// The fields that are read. All others are conditions that are only named.
const (
	protocolField    field = "protocol"
	portField        field = "destination port"
	sourceField      field = "source"
	destinationField field = "destination"
	inField          field = "in"
	outField         field = "out"
	inIndexField     field = "in index"
	outIndexField    field = "out index"
	stateField       field = "ct state"
	familyField      field = "family"
)

// reader reads the expressions of a rule one by one.
type reader struct {
	filter *filter
	table  *nftables.Table
	rule   rule
	fields map[uint32]field
	masks  map[uint32][]byte
}

// rule reads one rule.
func (f *filter) rule(table *nftables.Table, listed *nftables.Rule) rule {
	r := &reader{filter: f, table: table, rule: rule{handle: listed.Handle}, fields: map[uint32]field{}, masks: map[uint32][]byte{}}
	for _, e := range listed.Exprs {
		r.expression(e)
	}
	return r.rule
}

func (r *reader) unread(what string) {
	if !slices.Contains(r.rule.unread, what) {
		r.rule.unread = append(r.rule.unread, what)
	}
}

func (r *reader) expression(e expr.Any) {
	switch e := e.(type) {
	case *expr.Payload:
		r.fields[e.DestRegister], r.masks[e.DestRegister] = r.payload(e), nil
	case *expr.Meta:
		if !e.SourceRegister {
			r.fields[e.Register], r.masks[e.Register] = meta(e.Key), nil
		}
	case *expr.Ct:
		r.fields[e.Register], r.masks[e.Register] = "ct", nil
		if e.Key == expr.CtKeySTATE {
			r.fields[e.Register] = stateField
		}
	case *expr.Bitwise:
		r.fields[e.DestRegister], r.masks[e.DestRegister] = r.fields[e.SourceRegister], e.Mask
	case *expr.Cmp:
		r.compare(e)
	case *expr.Range:
		r.between(e)
	case *expr.Lookup:
		r.lookup(e)
	case *expr.Verdict:
		r.verdict(e)
	case *expr.Reject:
		r.rule.verdict = "reject"
	case *expr.Match:
		r.match(e)
	case *expr.Target:
		if e.Name == "REJECT" || e.Name == "DROP" {
			r.rule.verdict = map[string]string{"REJECT": "reject", "DROP": "drop"}[e.Name]
		}
	case *expr.Counter, *expr.Log, *expr.Notrack, *expr.Immediate:
	default:
		r.unread(fmt.Sprintf("%T", e)[len("*expr."):])
	}
}

// between reads a condition on a range.
func (r *reader) between(e *expr.Range) {
	if r.fields[e.Register] == portField && e.Op == expr.CmpOpEq && len(e.FromData) == 2 && len(e.ToData) == 2 {
		r.rule.ports = append(r.rule.ports, span{binary.BigEndian.Uint16(e.FromData), binary.BigEndian.Uint16(e.ToData)})
		return
	}
	r.unread(string(r.fields[e.Register]))
}

// payload names what is loaded of a packet.
func (r *reader) payload(e *expr.Payload) field {
	switch {
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 2 && e.Len == 2:
		return portField
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 0 && e.Len == 2:
		return "sport"
	case e.Base != expr.PayloadBaseNetworkHeader:
		return "payload"
	case e.Len == 16 && e.Offset == 8, e.Len <= 4 && e.Offset == 12:
		return sourceField
	case e.Len == 16 && e.Offset == 24, e.Len <= 4 && e.Offset == 16:
		return destinationField
	case e.Len == 1 && e.Offset == 9, e.Len == 1 && e.Offset == 6:
		return protocolField
	}
	return "payload"
}

func meta(key expr.MetaKey) field {
	switch key {
	case expr.MetaKeyL4PROTO:
		return protocolField
	case expr.MetaKeyNFPROTO, expr.MetaKeyPROTOCOL:
		return familyField
	case expr.MetaKeyIIFNAME:
		return inField
	case expr.MetaKeyOIFNAME:
		return outField
	case expr.MetaKeyIIF:
		return inIndexField
	case expr.MetaKeyOIF:
		return outIndexField
	default:
		return "meta"
	}
}

// protocols by number (https://www.iana.org/assignments/protocol-numbers).
var protocols = map[byte]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "ipv6-icmp", unix.IPPROTO_SCTP: "sctp"}

func (r *reader) compare(e *expr.Cmp) {
	what := r.fields[e.Register]
	if what == stateField {
		r.state(r.masks[e.Register], e.Op)
		return
	}
	if what == familyField {
		return
	}
	if e.Op != expr.CmpOpEq || len(e.Data) == 0 || what == portField && len(e.Data) != 2 {
		r.unread(string(what) + " !=")
		return
	}
	switch what {
	case protocolField:
		if r.rule.protocol = protocols[e.Data[0]]; r.rule.protocol == "" {
			r.rule.protocol = strconv.Itoa(int(e.Data[0]))
		}
	case portField:
		r.rule.ports = append(r.rule.ports, span{binary.BigEndian.Uint16(e.Data), binary.BigEndian.Uint16(e.Data)})
	case sourceField:
		r.rule.sources = append(r.rule.sources, r.prefix(e.Data, r.masks[e.Register]))
	case destinationField:
		r.rule.destinations = append(r.rule.destinations, r.prefix(e.Data, r.masks[e.Register]))
	case inField:
		r.rule.in = interfaceName(e.Data)
	case outField:
		r.rule.out = interfaceName(e.Data)
	case inIndexField:
		r.rule.in = interfaceAt(e.Data)
	case outIndexField:
		r.rule.out = interfaceAt(e.Data)
	default:
		r.unread(string(what))
	}
}

// The states of connections, as bits (uapi/linux/netfilter/nf_conntrack_common.h).
const stateNew = 1 << 3

// state reads which states of connections a rule takes: nft compares the bits that it asks for with none.
func (r *reader) state(mask []byte, op expr.CmpOp) {
	if len(mask) != 4 || op != expr.CmpOpNeq {
		r.unread("ct state")
		return
	}
	r.rule.settled = binaryutil.NativeEndian.Uint32(mask)&stateNew == 0
}

// prefix is the address or prefix that bytes of an address stand for: nft loads only as many as a prefix that
// ends with a byte has.
func (r *reader) prefix(data, mask []byte) string {
	size := 4
	if len(data) > 4 {
		size = 16
	}
	whole := make([]byte, size)
	copy(whole, data)
	address, _ := netip.AddrFromSlice(whole)
	bits := len(data) * 8
	if mask != nil {
		bits, _ = net.IPMask(mask).Size()
	}
	return prefixText(netip.PrefixFrom(address, bits))
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// interfaceName is a name as rules hold it: filled up with zeros, or cut short where it stands for all that
// begin so.
func interfaceName(data []byte) string {
	if name, _, ended := bytes.Cut(data, []byte{0}); ended {
		return string(name)
	}
	return string(data) + "*"
}

func interfaceAt(data []byte) string {
	if len(data) != 4 {
		return "?"
	}
	index := int(binaryutil.NativeEndian.Uint32(data))
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return strconv.Itoa(index)
	}
	return i.Name
}

func (r *reader) verdict(e *expr.Verdict) {
	switch e.Kind { //nolint:exhaustive // the others end nothing, or queue packets for a program
	case expr.VerdictAccept:
		r.rule.verdict = "accept"
	case expr.VerdictDrop:
		r.rule.verdict = "drop"
	case expr.VerdictReturn:
		r.rule.verdict = "return"
	case expr.VerdictJump:
		r.rule.verdict, r.rule.to = "jump", e.Chain
	case expr.VerdictGoto:
		r.rule.verdict, r.rule.to = "goto", e.Chain
	}
}

// multiportDestination is the kind of an xt_multiport_v1 that is about destinations, and multiportEither that
// is about both (uapi/linux/netfilter/xt_multiport.h).
const (
	multiportDestination = 1
	multiportEither      = 2
	multiportMost        = 15
)

// match reads a match of iptables that nftables carries as it is.
func (r *reader) match(e *expr.Match) {
	switch info := e.Info.(type) {
	case *xt.Tcp:
		r.rule.protocol = "tcp"
		r.xtPorts(info.SrcPorts, info.DstPorts, info.InvFlags != 0)
	case *xt.Udp:
		r.rule.protocol = "udp"
		r.xtPorts(info.SrcPorts, info.DstPorts, info.InvFlags != 0)
	case *xt.Comment:
	case *xt.Unknown:
		b := []byte(*info)
		if e.Name == "comment" {
			return
		}
		if e.Name != "multiport" || len(b) < 2+3*multiportMost+1 || b[0] != multiportDestination && b[0] != multiportEither || b[2+3*multiportMost] != 0 || b[1] > multiportMost {
			r.unread(e.Name)
			return
		}
		for i := 0; i < int(b[1]); i++ {
			port := binaryutil.NativeEndian.Uint16(b[2+2*i:])
			s := span{port, port}
			// A flag after the ports says that a port begins a range, which the next one ends.
			if b[2+2*multiportMost+i] != 0 && i+1 < int(b[1]) {
				i++
				s.to = binaryutil.NativeEndian.Uint16(b[2+2*i:])
			}
			r.rule.ports = append(r.rule.ports, s)
		}
	default:
		r.unread(e.Name)
	}
}

func (r *reader) xtPorts(source, destination [2]uint16, inverted bool) {
	every := [2]uint16{0, 65535}
	if source != every {
		r.unread("sport")
	}
	if inverted {
		r.unread("dport !=")
		return
	}
	if destination != every {
		r.rule.ports = append(r.rule.ports, span{destination[0], destination[1]})
	}
}

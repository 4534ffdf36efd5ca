package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
)

// receiveBuffer of a socket in bytes: what a second of beacons needs ten times over.
const receiveBuffer = 256 << 10

// socket is a UDP socket of both families where the machine has both.
type socket struct{ *net.UDPConn }

// listen opens a UDP socket on all addresses.
func listen(ctx context.Context, port int) (Conn, error) {
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = prepare(int(fd), network == "udp4") })
		return errors.Join(err, failed)
	}}
	conn, err := config.ListenPacket(ctx, "udp", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("listening at UDP %d gave a %T", port, conn)
	}
	return socket{udp}, nil
}

// Send gives a packet to the network.
func (s socket) Send(packet []byte, to netip.AddrPort) error {
	_, err := s.WriteToUDPAddrPort(packet, to)
	return err
}

// Receive waits for a packet.
func (s socket) Receive(buffer []byte) (int, netip.AddrPort, error) {
	n, from, err := s.ReadFromUDPAddrPort(buffer)
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// prepare forbids fragments without believing what the kernel learnt of the path's MTU, for that is what is
// measured (IP_PMTUDISC_PROBE, ip(7)), and lets the kernel drop what is no beacon.
func prepare(fd int, v4 bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE); err != nil {
		return fmt.Errorf("forbidding fragments: %w", err)
	}
	if !v4 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE); err != nil {
			return fmt.Errorf("forbidding fragments: %w", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("setting the receive buffer: %w", err)
	}
	return filter(fd)
}

// filter attaches a classic BPF program: the packet after its UDP header of 8 bytes begins as beacons do.
func filter(fd int) error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 8, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: beacon.Magic, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return fmt.Errorf("assembling the packet filter: %w", err)
	}
	instructions := make([]unix.SockFilter, len(program))
	for i, p := range program {
		instructions[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len: uint16(len(instructions)), Filter: &instructions[0], //nolint:gosec // four of them
	})
	if err != nil {
		return fmt.Errorf("attaching the packet filter: %w", err)
	}
	return nil
}

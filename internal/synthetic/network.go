package synthetic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"
)

var networkOptions = []Option{
	{Name: "CONNECTION_TARGET", Doc: "What to connect to: tcp://host:port or udp://host:port; host:port alone means tcp."},
	{Name: "CONNECTION_TARGET_UNREACHABLE", Default: "false", Doc: "true: it fails where the target can be reached."},
	{Name: "CONNECTION_TIMEOUT", Default: "20s", Doc: "The longest that making a connection may take. Over UDP, how long an answer is waited for, 5 seconds at most."},
}

var _ = All.Add(Scenario{
	Name:    "network-connection",
	Doc:     "Connects to a target over TCP or UDP, and fails where that does not work, or where it does although it must not.",
	Images:  []string{"network-connection-check"},
	Options: networkOptions,
	Time:    5 * time.Minute,
	Run:     runNetwork,
})

// udpWait is how long an answer over UDP is waited for at most, and udpTries how many packets are sent in
// that time. An ICMP message that says that nothing listens comes within a round trip.
const (
	udpWait  = 5 * time.Second
	udpTries = 3
)

// reached is what can be said of a target.
type reached int

const (
	// isUp: it answered.
	isUp reached = iota
	// isDown: it, or the way to it, refused; or it was silent where an answer must come.
	isDown
	// isSilent: nothing came back, and nothing had to.
	isSilent
	// isUnknown: it could not be tried.
	isUnknown
)

func runNetwork(ctx context.Context, env Environment) (Result, error) {
	o := env.read(networkOptions)
	const instead = "an address such as tcp://example.com:443 or udp://10.0.0.10:53"
	target := o.needed("CONNECTION_TARGET", instead)
	protocol, address := splitTarget(target)
	if target != "" {
		_, port, err := net.SplitHostPort(address)
		if err == nil {
			_, err = net.DefaultResolver.LookupPort(ctx, protocol, port)
		}
		if err != nil || !slices.Contains([]string{"tcp", "tcp4", "tcp6", "udp", "udp4", "udp6"}, protocol) {
			o.refuse("CONNECTION_TARGET", target, instead)
		}
	}
	blocked := o.boolean("CONNECTION_TARGET_UNREACHABLE")
	timeout := o.duration("CONNECTION_TIMEOUT", time.Millisecond)
	if err := o.err(); err != nil {
		return Result{}, err
	}

	var state reached
	var why error
	if strings.HasPrefix(protocol, "udp") {
		state, why = reachUDP(ctx, protocol, address, min(timeout, udpWait))
	} else {
		state, why = reachTCP(ctx, protocol, address, timeout)
	}
	return judge(target, blocked, state, why), nil
}

// judge says what a target's state means.
func judge(target string, blocked bool, state reached, why error) Result {
	const prefix = "Network connection check determined that "
	switch {
	case state == isUnknown && blocked:
		return Result{Errors: []string{fmt.Sprintf("%swhether %s can be reached is UNKNOWN: %v", prefix, target, why)}}
	case state == isUp && blocked:
		return Result{Errors: []string{fmt.Sprintf("%s%s is UP, and CONNECTION_TARGET_UNREACHABLE says that it must not be reachable from here", prefix, target)}}
	case state == isSilent && blocked:
		return Result{Notes: []string{target + " was silent; over UDP that does not prove that it cannot be reached"}}
	case state == isDown && blocked:
		return Result{Notes: []string{fmt.Sprintf("%s cannot be reached, as it should be: %v", target, why)}}
	case state == isSilent:
		return Result{Notes: []string{target + " was silent: nothing refused the packets, and over UDP no more can be said without speaking what listens there"}}
	case state == isUp:
		return Result{}
	}
	return Result{Errors: []string{fmt.Sprintf("%s%s is DOWN: %v", prefix, target, why)}}
}

// splitTarget takes a target apart; tcp is meant where it names no protocol.
func splitTarget(target string) (protocol, address string) {
	if protocol, address, named := strings.Cut(target, "://"); named {
		return strings.ToLower(protocol), address
	}
	return "tcp", target
}

func reachTCP(ctx context.Context, protocol, address string, timeout time.Duration) (reached, error) {
	dialer := net.Dialer{Timeout: timeout}
	connection, err := dialer.DialContext(ctx, protocol, address)
	if err == nil {
		_ = connection.Close()
		return isUp, nil
	}
	return failure(ctx, err), err
}

// reachUDP sends empty packets and waits for a sign. Connecting sends nothing over UDP; on a connected
// socket the kernel tells of ICMP errors that came back.
func reachUDP(ctx context.Context, protocol, address string, wait time.Duration) (reached, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, protocol, address)
	if err != nil {
		return failure(ctx, err), err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	answer := make([]byte, 1)
	for range udpTries {
		if _, err = connection.Write(nil); err != nil {
			return failure(ctx, err), err
		}
		//nolint:forbidigo // the kernel's deadlines know no other clock
		if err := connection.SetReadDeadline(time.Now().Add(wait / udpTries)); err != nil {
			return failure(ctx, err), err
		}
		if _, err = connection.Read(answer); err == nil {
			return isUp, nil
		}
		if failed, is := errors.AsType[net.Error](err); !is || !failed.Timeout() {
			return failure(ctx, err), err
		}
	}
	return isSilent, nil
}

// failure tells a target that cannot be reached from one that could not be tried.
func failure(ctx context.Context, err error) reached {
	if ctx.Err() != nil {
		return isUnknown
	}
	if dns, is := errors.AsType[*net.DNSError](err); is && !dns.IsNotFound {
		return isUnknown
	}
	// The socket's own limits say nothing of the target.
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, own) {
			return isUnknown
		}
	}
	return isDown
}

package synthetic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// dnsTries is how often a server is asked over UDP: a single lost packet is no fault of the server.
const dnsTries = 2

// dnsServer is one server of names.
type dnsServer struct {
	// address with port.
	address string
	// pod and node that it runs on; empty where that is not known.
	pod, node string
}

// String names the server as sentences do.
func (s dnsServer) String() string {
	text := "the server " + s.address
	if s.pod != "" {
		text += " (pod " + s.pod
		if s.node != "" {
			text += " on node " + s.node
		}
		text += ")"
	}
	return text
}

// resolve has one server resolve the first of several names that it knows, as the search list of a
// resolver makes them. It says how the server failed: with silence, with a refusal, or by not knowing.
func resolve(ctx context.Context, server dnsServer, names []string, seconds int) error {
	var unknown []string
	var problem error
	for _, name := range names {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			answer, err := ask(ctx, server, name, kind, time.Duration(max(1, seconds))*time.Second)
			if err != nil {
				return fmt.Errorf("%s %w", server, err)
			}
			if hasAddress(answer) {
				return nil
			}
			if answer.Rcode == dns.RcodeNameError {
				break
			}
			if answer.Rcode != dns.RcodeSuccess && problem == nil {
				// Resolvers go on to the next name of their list: a domain of it may not matter.
				problem = fmt.Errorf("%s answers %s for %s", server, rcodeText(answer.Rcode), name)
			}
		}
		unknown = append(unknown, name)
	}
	if problem != nil {
		return problem
	}
	return fmt.Errorf("%s answers that there is no such name (NXDOMAIN), or no address of it: %s", server, strings.Join(unknown, ", "))
}

// ask asks for one name over UDP, and over TCP where the answer does not fit.
func ask(ctx context.Context, server dnsServer, name string, kind uint16, timeout time.Duration) (*dns.Msg, error) {
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(dns.DefaultMsgSize, false)
	udp := dns.Client{Net: "udp", Timeout: timeout, UDPSize: dns.DefaultMsgSize}
	var answer *dns.Msg
	var err error
	for range dnsTries {
		if answer, _, err = udp.ExchangeContext(ctx, question, server.address); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, silence(ctx, err, "UDP", timeout)
	}
	if !answer.Truncated {
		return answer, nil
	}
	tcp := dns.Client{Net: "tcp", Timeout: timeout}
	if answer, _, err = tcp.ExchangeContext(ctx, question, server.address); err != nil {
		return nil, silence(ctx, err, "TCP", timeout)
	}
	return answer, nil
}

// silence says how a server failed to answer.
func silence(ctx context.Context, err error, protocol string, timeout time.Duration) error {
	failed, isNet := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("had not answered over %s when the time of the run was over", protocol)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("refuses connections over %s: nothing listens there", protocol)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Errorf("cannot be reached over %s: %w", protocol, err)
	case isNet && failed.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("does not answer over %s: no answer in %s, asked %d times", protocol, timeout, dnsTries)
	}
	return fmt.Errorf("cannot be asked over %s: %w", protocol, err)
}

// hasAddress tells whether an answer leads to an address.
func hasAddress(answer *dns.Msg) bool {
	for _, record := range answer.Answer {
		switch record.(type) {
		case *dns.A, *dns.AAAA:
			return true
		}
	}
	return false
}

func rcodeText(code int) string {
	if text, known := dns.RcodeToString[code]; known {
		return text
	}
	return fmt.Sprintf("the code %d", code)
}

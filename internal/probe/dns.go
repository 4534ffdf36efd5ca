package probe

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// dnsUDPSize is the largest answer over UDP that is asked for, in bytes: one that no network splits
// (https://www.dnsflagday.net/2020/).
const dnsUDPSize = 1232

// DNS asks a DNS server for a name. It passes where records of the type are in the answer, and each
// one that is expected is among them.
type DNS struct {
	// Server is host:port.
	Server string
	// Name is taken as it is, without search domains.
	Name string
	// Type is a type of record, such as "A"; "" is "A".
	Type string
	// Want are the data of records that the answer must have, as written in zone files: "10.96.0.1",
	// "10 mail.example.org.".
	Want []string
	// OverTCP asks over TCP at once. Otherwise UDP is asked, and TCP where the answer is too long for it.
	OverTCP bool
}

// String implements [Target].
func (d DNS) String() string {
	return fmt.Sprintf("%s records of %s at %s", d.recordType(), dns.Fqdn(d.Name), d.Server)
}

func (d DNS) recordType() string {
	if d.Type == "" {
		return "A"
	}
	return strings.ToUpper(d.Type)
}

func (d DNS) attempt(ctx context.Context, p *Prober, timeout time.Duration) *Outcome {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	kind, known := dns.StringToType[d.recordType()]
	if !known {
		return new(same(Unknown, fmt.Sprintf("there is no type of DNS record %q", d.Type)))
	}
	if _, valid := dns.IsDomainName(d.Name); !valid {
		return new(same(Unknown, fmt.Sprintf("%q is no domain name", d.Name)))
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(d.Name), kind).SetEdns0(dnsUDPSize, false)

	network := "udp"
	if d.OverTCP {
		network = "tcp"
	}
	answer, phases, err := d.exchange(ctx, p, question, network)
	if err == nil && answer.Truncated && !d.OverTCP {
		var more Phases
		answer, more, err = d.exchange(ctx, p, question, "tcp")
		phases.Resolve += more.Resolve
		phases.Connect += more.Connect
		phases.Wait += more.Wait
	}
	if err != nil {
		outcome := stopped(err, err.Error())
		outcome.Phases = phases
		return &outcome
	}
	outcome := d.judge(answer, kind)
	outcome.Phases = phases
	return &outcome
}

func (d DNS) exchange(ctx context.Context, p *Prober, question *dns.Msg, network string) (*dns.Msg, Phases, error) {
	conn, phases, err := p.connect(ctx, network, d.Server)
	if err != nil {
		return nil, phases, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	connected := p.now()
	answer, err := converse(ctx, conn, question)
	phases.Wait = p.now().Sub(connected)
	if err != nil {
		return nil, phases, fmt.Errorf("asking over %s: %w", strings.ToUpper(network), err)
	}
	return answer, phases, nil
}

// converse sends a question and waits for its answer. What else arrives is left alone: over UDP
// anybody can send something.
func converse(ctx context.Context, conn net.Conn, question *dns.Msg) (*dns.Msg, error) {
	// The deadline alone would not end a conversation when ctx is cancelled.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	talk := &dns.Conn{Conn: conn, UDPSize: dnsUDPSize}
	if err := talk.WriteMsg(question); err != nil {
		return nil, overtime(ctx, err)
	}
	for {
		answer, err := talk.ReadMsg()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case answer == nil:
			return nil, err
		case answer.Id != question.Id || !answer.Response:
			continue
		case err != nil:
			return nil, fmt.Errorf("reading the answer: %w", err)
		default:
			return answer, nil
		}
	}
}

// overtime names the end of the context rather than what came of it.
func overtime(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (d DNS) judge(answer *dns.Msg, kind uint16) Outcome {
	var records []string
	for _, record := range answer.Answer {
		if record.Header().Rrtype == kind {
			records = append(records, strings.TrimPrefix(record.String(), record.Header().String()))
		}
	}
	slices.Sort(records)
	outcome := d.judgeRecords(answer.Rcode, records)
	outcome.Records = records
	return outcome
}

func (d DNS) judgeRecords(rcode int, records []string) Outcome {
	if rcode != dns.RcodeSuccess {
		code, known := dns.RcodeToString[rcode]
		if !known {
			code = fmt.Sprintf("code %d", rcode)
		}
		outcome := same(Failure, "the server answered "+code)
		outcome.Cause = NameLookupFailed
		if rcode == dns.RcodeNameError {
			outcome.Cause = NameNotFound
		}
		return outcome
	}
	if len(records) == 0 {
		return missing(fmt.Sprintf("the name has no %s records", d.recordType()))
	}
	for _, want := range d.Want {
		if !slices.ContainsFunc(records, func(record string) bool { return strings.EqualFold(record, want) }) {
			return missing(fmt.Sprintf("%s is not among the answers: %s", want, strings.Join(records, ", ")))
		}
	}
	return same(Success, strings.Join(records, ", "))
}

func missing(message string) Outcome {
	outcome := same(Failure, message)
	outcome.Cause = RecordMissing
	return outcome
}

package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// Cause says in one word what stopped an attempt, or what was wrong with an answer that no HTTP status
// tells of. It is made of data, so that it can be sent on where an error cannot.
type Cause string

// The causes. An attempt that failed has none where its answer says it all (a status, an exit code), or
// where nothing more is known than the message.
const (
	ConnectionRefused  Cause = v1alpha1.ReasonConnectionRefused
	ConnectionReset    Cause = v1alpha1.ReasonConnectionReset
	Unreachable        Cause = v1alpha1.ReasonUnreachable
	TimedOut           Cause = v1alpha1.ReasonTimedOut
	NameNotFound       Cause = v1alpha1.ReasonNameNotFound
	NameLookupFailed   Cause = v1alpha1.ReasonNameLookupFailed
	TLSHandshakeFailed Cause = v1alpha1.ReasonTLSHandshakeFailed
	CertificateInvalid Cause = v1alpha1.ReasonCertificateInvalid
	BodyIncomplete     Cause = v1alpha1.ReasonBodyIncomplete
	NotServing         Cause = v1alpha1.ReasonNotServing
	RecordMissing      Cause = v1alpha1.ReasonRecordMissing
)

// stopped makes the outcome of an attempt that an error ended.
func stopped(err error, message string) Outcome {
	return same(Failure, message).because(err)
}

// because keeps what ended an attempt.
func (o Outcome) because(err error) Outcome {
	o.Err = err
	o.Cause = causeOf(err)
	return o
}

func causeOf(err error) Cause {
	if cause := causeOfErrno(err); cause != "" {
		return cause
	}
	if isTimeout(err) {
		return TimedOut
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return NameNotFound
		}
		return NameLookupFailed
	}
	switch {
	case isCertificate(err):
		return CertificateInvalid
	case isTLS(err):
		return TLSHandshakeFailed
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ConnectionReset
	default:
		return ""
	}
}

func causeOfErrno(err error) Cause {
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return ""
	}
	switch number {
	case syscall.ECONNREFUSED:
		return ConnectionRefused
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return ConnectionReset
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN:
		return Unreachable
	default:
		return ""
	}
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout()
}

func isCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}

// isTLS tells errors of a handshake. Most of those that crypto/tls finds itself have no type, but all begin
// alike.
func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "server gave HTTP response to HTTPS client")
}

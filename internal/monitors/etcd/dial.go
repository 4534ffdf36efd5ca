package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/maek-dev/maek/internal/monitors/etcdconn"
)

// How a member answered, as etcd/member/*/answer says it.
const (
	answered    = "yes"
	refused     = "refused"
	unreachable = "unreachable"
	hung        = "hung"
	distrusted  = "certificate"
	denied      = "denied"
	failed      = "error"
)

// line is a connection to one member.
type line struct{ *etcdconn.Conn }

func dial(clientURL string, config *tls.Config) (*line, error) {
	c, err := etcdconn.Dial(clientURL, config)
	if err != nil {
		return nil, err
	}
	return &line{c}, nil
}

// rejected tells whether a connection ended as one does whose client certificate the server refuses. With
// TLS 1.3 it says so after the handshake, gRPC keeps no more than the words, and the connection may be
// gone before they are read.
func rejected(reason string) bool {
	return slices.ContainsFunc([]string{"remote error: tls:", "broken pipe", "connection reset", "EOF"}, func(w string) bool { return strings.Contains(reason, w) })
}

// classify says in a word how a call failed, and in etcd's or the kernel's words why.
func (l *line) classify(err error) (word, reason string) {
	if err == nil {
		return answered, ""
	}
	reason = status.Convert(err).Message()
	dialErr, asked := l.Dialled()
	if dialErr != nil {
		err, reason = dialErr, dialErr.Error()
	}
	timeout, isNet := errors.AsType[net.Error](err)
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case asked && rejected(reason):
		return denied, "it wants a client certificate that it trusts: " + reason
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused, reason
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unreachable, reason
	case verify:
		return distrusted, reason
	case dialErr != nil && isNet && timeout.Timeout():
		return unreachable, reason
	case status.Code(err) == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return hung, reason
	case status.Code(err) == codes.PermissionDenied, status.Code(err) == codes.Unauthenticated:
		return denied, reason
	default:
		return failed, reason
	}
}

package remote

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/probe"
)

// Probe is one probe, as it is sent. Exactly one of HTTP, TCP, GRPC, DNS and TLS is there.
type Probe struct {
	// Addresses are all that may be connected to: IP:PORT, or an IP alone, which allows all its ports. A
	// redirect or a name leads nowhere else.
	Addresses []string `json:"addresses"`
	// Nodes allows addresses of nodes, at the ports that Addresses name.
	Nodes bool `json:"nodes,omitempty"`

	HTTP *HTTP `json:"http,omitempty"`
	TCP  *TCP  `json:"tcp,omitempty"`
	GRPC *GRPC `json:"grpc,omitempty"`
	DNS  *DNS  `json:"dns,omitempty"`
	TLS  *TLS  `json:"tls,omitempty"`
}

// HTTP is a probe.HTTP.
type HTTP struct {
	URL       string              `json:"url"`
	Header    map[string][]string `json:"header,omitempty"`
	Host      string              `json:"host,omitempty"`
	BodyLimit int64               `json:"bodyLimit,omitempty"`
	// Authorization and Certificates are those of a probe.HTTP.
	Authorization string `json:"authorization,omitempty"`
	Certificates  bool   `json:"certificates,omitempty"`
	// Security of https; nil accepts every certificate, as kubelets do.
	Security *Security `json:"security,omitempty"`
}

// Security is how an HTTPS server is met: the fields of a tls.Config of the same names.
type Security struct {
	ServerName         string `json:"serverName,omitempty"`
	InsecureSkipVerify bool   `json:"insecureSkipVerify,omitempty"`
	MinVersion         uint16 `json:"minVersion,omitempty"`
	MaxVersion         uint16 `json:"maxVersion,omitempty"`
	// Roots are trusted, in PEM; nil stands for those of the machine.
	Roots []byte `json:"roots,omitempty"`
}

// TCP is a probe.TCP.
type TCP struct {
	Address string `json:"address"`
}

// GRPC is a probe.GRPC.
type GRPC struct {
	Address   string `json:"address"`
	Service   string `json:"service,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// DNS is a probe.DNS.
type DNS struct {
	Server  string   `json:"server"`
	Name    string   `json:"name"`
	Type    string   `json:"type,omitempty"`
	Want    []string `json:"want,omitempty"`
	OverTCP bool     `json:"overTCP,omitempty"`
}

// TLS is a probe.TLS.
type TLS struct {
	Address    string        `json:"address"`
	ServerName string        `json:"serverName,omitempty"`
	WarnBefore time.Duration `json:"warnBeforeNanoseconds,omitempty"`
	// Roots are trusted, in PEM; nil stands for those of the machine.
	Roots []byte `json:"roots,omitempty"`
}

// Settings are what a probe is made with beside its target.
type Settings struct {
	// Addresses and Nodes as in Probe.
	Addresses []string
	Nodes     bool
	// TLS is that of a probe.Options; nil for the kubelet's way.
	TLS *tls.Config
	// Roots are what TLS and a probe.TLS trust, in PEM; nil stands for those of the machine. They must be
	// given where a pool is, for a pool does not say what it holds.
	Roots []byte
}

// Errors of a probe that cannot be carried.
var (
	// ErrClientCertificate says that the probe shows a client certificate, whose key stays where it is.
	ErrClientCertificate = errors.New("it shows a client certificate, whose key is not given to other machines")
	// ErrUnknownRoots says that nobody gave the authorities that are trusted.
	ErrUnknownRoots = errors.New("it trusts authorities of its own, which are not told")
	// ErrNoAddress says that it is not known where the probe goes.
	ErrNoAddress = errors.New("it is not known at which addresses, and other machines look up no names")
)

// FromTarget writes a probe down. The error says in a sentence why it cannot be made elsewhere.
func FromTarget(target probe.Target, s Settings) (Probe, error) {
	out := Probe{Addresses: slices.Clone(s.Addresses), Nodes: s.Nodes}
	switch t := target.(type) {
	case probe.HTTP:
		security, err := securityOf(s)
		if err != nil {
			return Probe{}, err
		}
		if t.URL == nil {
			return Probe{}, errors.New("it has no URL")
		}
		out.HTTP = &HTTP{
			URL: t.URL.String(), Header: maps.Clone(t.Header), Host: t.Host, BodyLimit: t.BodyLimit,
			Authorization: t.Authorization, Certificates: t.Certificates, Security: security,
		}
	case probe.TCP:
		out.TCP = &TCP{t.Address}
	case probe.GRPC:
		out.GRPC = &GRPC{t.Address, t.Service, t.UserAgent}
	case probe.DNS:
		out.DNS = &DNS{t.Server, t.Name, t.Type, slices.Clone(t.Want), t.OverTCP}
	case probe.TLS:
		if t.Roots != nil && len(s.Roots) == 0 {
			return Probe{}, ErrUnknownRoots
		}
		out.TLS = &TLS{Address: t.Address, ServerName: t.ServerName, WarnBefore: t.WarnBefore}
		if t.Roots != nil {
			out.TLS.Roots = s.Roots
		}
	case probe.Exec:
		return Probe{}, errors.New("commands are run in containers, and not from machines")
	default:
		return Probe{}, fmt.Errorf("nobody else knows how to make a probe of %s", target)
	}
	back, err := out.Target()
	if err != nil {
		return Probe{}, err
	}
	return out, out.same(target, back)
}

// same holds that nothing of a target is lost on its way.
func (p Probe) same(target, back probe.Target) error {
	texts, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("writing it down: %w", err)
	}
	var again Probe
	if err := json.Unmarshal(texts, &again); err != nil {
		return fmt.Errorf("writing it down: %w", err)
	}
	if !reflect.DeepEqual(p.texts(), again.texts()) {
		return errors.New("it holds bytes that are no UTF-8")
	}
	if h, ok := target.(probe.HTTP); ok {
		if b, ok := back.(probe.HTTP); !ok || h.URL.Hostname() != b.URL.Hostname() || h.URL.RequestURI() != b.URL.RequestURI() {
			return fmt.Errorf("its URL %q reads as another one", h.URL)
		}
	}
	return nil
}

// texts are what may hold bytes that JSON cannot carry.
func (p Probe) texts() []any {
	out := []any{p.Addresses}
	if p.HTTP != nil {
		names := slices.Sorted(maps.Keys(p.HTTP.Header))
		for _, name := range names {
			out = append(out, name, slices.Concat([]string{}, p.HTTP.Header[name]))
		}
		out = append(out, p.HTTP.URL, p.HTTP.Host, p.HTTP.Authorization)
		if p.HTTP.Security != nil {
			out = append(out, p.HTTP.Security.ServerName)
		}
	}
	switch {
	case p.TCP != nil:
		out = append(out, *p.TCP)
	case p.GRPC != nil:
		out = append(out, *p.GRPC)
	case p.DNS != nil:
		out = append(out, p.DNS.Server, p.DNS.Name, p.DNS.Type, slices.Concat([]string{}, p.DNS.Want))
	case p.TLS != nil:
		out = append(out, p.TLS.Address, p.TLS.ServerName)
	}
	return out
}

func securityOf(s Settings) (*Security, error) {
	c := s.TLS
	switch {
	case c == nil:
		return nil, nil //nolint:nilnil // no settings is the kubelet's way
	case len(c.Certificates) > 0 || c.GetClientCertificate != nil:
		return nil, ErrClientCertificate
	case c.RootCAs != nil && len(s.Roots) == 0 && !c.InsecureSkipVerify:
		return nil, ErrUnknownRoots
	case c.VerifyConnection != nil || c.VerifyPeerCertificate != nil || len(c.CipherSuites) > 0:
		return nil, errors.New("its TLS has settings that other machines are not told")
	}
	out := &Security{ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify, MinVersion: c.MinVersion, MaxVersion: c.MaxVersion}
	if c.RootCAs != nil && !c.InsecureSkipVerify {
		out.Roots = s.Roots
	}
	return out, nil
}

// Target reads the probe back. The error says what of it cannot be.
func (p Probe) Target() (probe.Target, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	switch {
	case p.HTTP != nil:
		return p.HTTP.target()
	case p.TCP != nil:
		return probe.TCP{Address: p.TCP.Address}, hostPort(p.TCP.Address)
	case p.GRPC != nil:
		return probe.GRPC{Address: p.GRPC.Address, Service: p.GRPC.Service, UserAgent: p.GRPC.UserAgent}, hostPort(p.GRPC.Address)
	case p.DNS != nil:
		return probe.DNS{Server: p.DNS.Server, Name: p.DNS.Name, Type: p.DNS.Type, Want: p.DNS.Want, OverTCP: p.DNS.OverTCP}, hostPort(p.DNS.Server)
	default:
		t := probe.TLS{Address: p.TLS.Address, ServerName: p.TLS.ServerName, WarnBefore: p.TLS.WarnBefore}
		if err := hostPort(t.Address); err != nil {
			return nil, err
		}
		if p.TLS.WarnBefore < 0 {
			return nil, errors.New("warnBeforeNanoseconds is below zero")
		}
		pool, err := poolOf(p.TLS.Roots)
		t.Roots = pool
		return t, err
	}
}

// check holds that there is one probe, and that it says where it goes.
func (p Probe) check() error {
	given := 0
	for _, there := range []bool{p.HTTP != nil, p.TCP != nil, p.GRPC != nil, p.DNS != nil, p.TLS != nil} {
		if there {
			given++
		}
	}
	switch {
	case given != 1:
		return fmt.Errorf("a probe is one of http, tcp, grpc, dns and tls, and this is %d of them", given)
	case len(p.Addresses) == 0:
		return ErrNoAddress
	case len(p.Addresses) > maxAddresses:
		return fmt.Errorf("a probe has at most %d addresses", maxAddresses)
	}
	for _, text := range p.Addresses {
		if _, _, err := Address(text); err != nil {
			return err
		}
	}
	return nil
}

// Address reads one of Probe's Addresses: its port is 0 where it allows all.
func Address(text string) (ip netip.Addr, port uint16, err error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.Unmap(), 0, nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil || at.Port() == 0 {
		return netip.Addr{}, 0, fmt.Errorf("%.100q is neither IP:PORT nor an IP", text)
	}
	return at.Addr().Unmap(), at.Port(), nil
}

func hostPort(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%.100q is no HOST:PORT", address)
	}
	return nil
}

func (h HTTP) target() (probe.Target, error) {
	at, err := url.Parse(h.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the URL: %w", err)
	case at.Scheme != "http" && at.Scheme != "https":
		return nil, fmt.Errorf("the URL's scheme is %.20q, and must be http or https", at.Scheme)
	case at.Hostname() == "":
		return nil, errors.New("the URL has no host")
	case h.BodyLimit < 0 || h.BodyLimit > MaxBody:
		return nil, fmt.Errorf("bodyLimit is %d, and must be from 0 to %d", h.BodyLimit, MaxBody)
	}
	return probe.HTTP{
		URL: at, Header: http.Header(h.Header), Host: h.Host, BodyLimit: h.BodyLimit, Authorization: h.Authorization, Certificates: h.Certificates,
	}, nil
}

// Options are the TLS settings to make the probe with; nil for the kubelet's way.
func (p Probe) Options() (*tls.Config, error) {
	if p.HTTP == nil || p.HTTP.Security == nil {
		return nil, nil //nolint:nilnil // no settings is the kubelet's way
	}
	s := p.HTTP.Security
	pool, err := poolOf(s.Roots)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		ServerName: s.ServerName, RootCAs: pool, MinVersion: s.MinVersion, MaxVersion: s.MaxVersion,
		InsecureSkipVerify: s.InsecureSkipVerify, //nolint:gosec // a check may say so itself
	}, nil
}

// SystemRoots tells whether the probe trusts those whom the machine trusts.
func (p Probe) SystemRoots() bool {
	switch {
	case p.TLS != nil:
		return len(p.TLS.Roots) == 0
	case p.HTTP != nil && p.HTTP.Security != nil:
		return !p.HTTP.Security.InsecureSkipVerify && len(p.HTTP.Security.Roots) == 0
	default:
		return false
	}
}

// poolOf is the pool of what stands in PEM; nil for nothing.
func poolOf(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil //nolint:nilnil // no pool is the machine's
	}
	pool := x509.NewCertPool()
	if !utf8.Valid(pem) || !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("roots hold no certificate in PEM")
	}
	return pool, nil
}

// Package probetest has servers that answer as no server should, and what the kubelet makes of
// them. The tests of package probe ask them, and those that hold it against the kubelet's own code.
package probetest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Serve is what a server does with one connection. It is closed afterwards.
type Serve func(c *Conn)

// Conn is a connection to a server that answers oddly.
type Conn struct {
	net.Conn
	// Over is closed when the test ends.
	Over <-chan struct{}

	reader *bufio.Reader
	port   int
}

// ReadHead reads a request's head, and returns its first line.
func (c *Conn) ReadHead() string {
	first := ""
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return first
		}
		if first == "" {
			first = strings.TrimSpace(line)
		}
		if strings.TrimSpace(line) == "" {
			return first
		}
	}
}

// ReadRecord reads what begins a TLS handshake, without understanding it.
func (c *Conn) ReadRecord() {
	var header [5]byte
	if _, err := io.ReadFull(c.reader, header[:]); err != nil {
		return
	}
	// A server that is about to refuse may stop reading here.
	_, _ = io.CopyN(io.Discard, c.reader, int64(binary.BigEndian.Uint16(header[3:])))
}

// Say sends text, in which {PORT} is the server's own.
func (c *Conn) Say(text string) {
	// Whoever has hung up needs no answer.
	_, _ = c.Write([]byte(strings.ReplaceAll(text, "{PORT}", strconv.Itoa(c.port))))
}

// Hang waits until the client gives up, or the test is over.
func (c *Conn) Hang() {
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		var rest [512]byte
		for {
			if _, err := c.reader.Read(rest[:]); err != nil {
				return
			}
		}
	}()
	select {
	case <-stop:
	case <-c.Over:
	}
}

// Reset ends the connection with RST.
func (c *Conn) Reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Flood says a piece again and again until the client hangs up or the test is over.
func (c *Conn) Flood(piece string) {
	data := []byte(piece)
	for {
		select {
		case <-c.Over:
			return
		default:
		}
		if _, err := c.Write(data); err != nil {
			return
		}
	}
}

// Listen starts a server on the loopback address for as long as the test lasts, with TLS where a
// configuration is given, and returns its port.
func Listen(tb testing.TB, config *tls.Config, serve Serve) int {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	over := make(chan struct{})
	var serving sync.WaitGroup
	tb.Cleanup(func() {
		close(over)
		_ = listener.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			conn := raw
			if config != nil {
				conn = tls.Server(raw, config)
			}
			serving.Go(func() {
				defer conn.Close()
				go func() {
					<-over
					_ = raw.Close()
				}()
				serve(&Conn{Conn: conn, Over: over, reader: bufio.NewReader(conn), port: port})
			})
		}
	})
	return port
}

// Issue makes a certificate for 127.0.0.1 and a name. Without a parent it signs itself, and may
// sign others.
func Issue(tb testing.TB, name string, from, until time.Time, parent *tls.Certificate) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             from,
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	issuer, signer := template, any(key)
	if parent == nil {
		template.IsCA = true
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	chain := [][]byte{der}
	if parent != nil {
		chain = append(chain, parent.Certificate...)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}
}

package probe_test

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// serverKind is the variable that makes this program a server for benchmarks, so that they count
// nothing of what a server costs.
const serverKind = "PROBE_BENCHMARK_SERVER"

func healthy(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "ok")
}

// serveBenchmarks serves until its input ends. It says where, and with which certificate.
func serveBenchmarks(kind string, in io.Reader, out io.Writer) {
	switch kind {
	case "http":
		server := httptest.NewServer(http.HandlerFunc(healthy))
		fmt.Fprintln(out, server.URL)
	case "https":
		server := httptest.NewTLSServer(http.HandlerFunc(healthy))
		fmt.Fprintln(out, server.URL)
		fmt.Fprintln(out, base64.StdEncoding.EncodeToString(server.Certificate().Raw))
	case "grpc":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Fprintln(out, err)
			return
		}
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, health.NewServer())
		go func() { _ = server.Serve(listener) }()
		fmt.Fprintln(out, "grpc://"+listener.Addr().String())
	}
	_, _ = io.Copy(io.Discard, in)
}

// elsewhere starts a server in a process of its own. It gives its URL, its address and its certificate.
func elsewhere(b *testing.B, kind string) (url, address string, roots *x509.CertPool) {
	b.Helper()
	server := exec.CommandContext(b.Context(), os.Args[0])
	server.Env = append(os.Environ(), serverKind+"="+kind)
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = server.Wait() // the test's context has ended it by now
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		b.Fatal("the server does not say where it is")
	}
	url = lines.Text()
	_, address, _ = strings.Cut(url, "://")
	if kind == "https" && lines.Scan() {
		der, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			b.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		roots = x509.NewCertPool()
		roots.AddCert(certificate)
	}
	return url, address, roots
}

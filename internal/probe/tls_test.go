package probe_test

import (
	"crypto/tls"
	"crypto/x509"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
)

func TestTLSServers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	root := probetest.Issue(t, "root", now.Add(-day), now.AddDate(10, 0, 0), nil)
	shortRoot := probetest.Issue(t, "short root", now.Add(-day), now.Add(5*day), nil)
	trusted := x509.NewCertPool()
	trusted.AddCert(root.Leaf)
	trusted.AddCert(shortRoot.Leaf)
	good := probetest.Issue(t, "api.example.org", now.Add(-day), now.Add(30*day), &root)
	over := probetest.Issue(t, "api.example.org", now.Add(-3*day), now.Add(-36*time.Hour), &root)
	self := probetest.Issue(t, "api.example.org", now.Add(-day), now.Add(30*day), nil)
	short := probetest.Issue(t, "api.example.org", now.Add(-day), now.Add(30*day), &shortRoot)

	tests := map[string]struct {
		server *tls.Config
		serve  probetest.Serve
		// hangs: the attempt ends by its timeout.
		hangs bool
		ask   probe.TLS
		want  probe.Result
		// wantIn is in the message.
		wantIn   string
		wantDays []int
	}{
		"a chain to a trusted root":       {server: &tls.Config{Certificates: []tls.Certificate{good}}, ask: probe.TLS{ServerName: "api.example.org"}, want: probe.Success, wantIn: "for 30 days", wantDays: []int{30, 3653}},
		"a certificate for an address":    {server: &tls.Config{Certificates: []tls.Certificate{good}}, want: probe.Success, wantIn: "for 30 days", wantDays: []int{30, 3653}},
		"a certificate that ends soon":    {server: &tls.Config{Certificates: []tls.Certificate{good}}, ask: probe.TLS{WarnBefore: 31 * day}, want: probe.Warning, wantIn: "then CN=api.example.org ends", wantDays: []int{30, 3653}},
		"a root that ends before":         {server: &tls.Config{Certificates: []tls.Certificate{short}}, ask: probe.TLS{WarnBefore: 7 * day}, want: probe.Warning, wantIn: "for 5 days: then CN=short root ends", wantDays: []int{30, 5}},
		"a certificate that has ended":    {server: &tls.Config{Certificates: []tls.Certificate{over}}, want: probe.Failure, wantIn: "the certificate ended at 2026-02-28T12:00:00Z", wantDays: []int{-2, 3653}},
		"a certificate of its own making": {server: &tls.Config{Certificates: []tls.Certificate{self}}, want: probe.Failure, wantIn: "unknown authority", wantDays: []int{30}},
		"a certificate for another name":  {server: &tls.Config{Certificates: []tls.Certificate{good}}, ask: probe.TLS{ServerName: "shop.example.org"}, want: probe.Failure, wantIn: "valid for api.example.org, not shop.example.org", wantDays: []int{30, 3653}},
		"TLS 1.0":                         {server: &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, want: probe.Failure, wantIn: "handshake: remote error: tls: protocol version not supported"},
		"no TLS":                          {serve: func(c *probetest.Conn) { c.ReadRecord(); c.Say("220 hello\r\n") }, want: probe.Failure, wantIn: "handshake: tls: first record does not look like a TLS handshake"},
		"nothing said":                    {serve: func(c *probetest.Conn) { c.Hang() }, hangs: true, want: probe.Failure, wantIn: "handshake: context deadline exceeded"},
		"rubbish without end":             {serve: func(c *probetest.Conn) { c.Flood("\x16\x03\x03\x40\x00\x02\xff\xff\xff" + strings.Repeat("x", 0x3ffd)) }, want: probe.Failure, wantIn: "handshake: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			serve := tc.serve
			if serve == nil {
				serve = func(c *probetest.Conn) { c.Hang() }
			}
			if tc.hangs {
				timeout = 2 * time.Second
			}
			tc.ask.Address = "127.0.0.1:" + strconv.Itoa(probetest.Listen(t, tc.server, serve))
			tc.ask.Roots = trusted
			got := probe.New(probe.Options{Now: func() time.Time { return now }}).Probe(t.Context(), tc.ask, timeout)
			if got.Strict.Result != tc.want || !strings.Contains(got.Strict.Message, tc.wantIn) {
				t.Errorf("%s: %s; want %s with %q", got.Strict.Result, got.Strict.Message, tc.want, tc.wantIn)
			}
			var days []int
			for _, c := range got.Certificates {
				days = append(days, c.DaysLeft())
			}
			if diff := cmp.Diff(tc.wantDays, days); diff != "" {
				t.Errorf("days left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDaysLeftAreWholeDays(t *testing.T) {
	tests := map[time.Duration]int{0: 0, time.Hour: 0, 24 * time.Hour: 1, 47 * time.Hour: 1, -time.Nanosecond: -1, -24 * time.Hour: -1, -25 * time.Hour: -2}
	for left, want := range tests {
		if got := (probe.Certificate{Left: left}).DaysLeft(); got != want {
			t.Errorf("%v left: %d days, want %d", left, got, want)
		}
	}
}

package kubelet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	ours "github.com/maek-dev/maek/internal/probe"
	"github.com/maek-dev/maek/internal/probe/probetest"
	corev1 "k8s.io/api/core/v1"
	httpprobe "k8s.io/kubernetes/pkg/probe/http"
)

// randomServers is how many servers are made up.
const randomServers = 1500

// TestRandomHTTP asks servers that answer what a die says, and hang up.
func TestRandomHTTP(t *testing.T) {
	all := newAgreement(t, "random HTTP servers")
	kubelet := httpprobe.New(false)
	prober := ours.New(ours.Options{Now: wallClock})
	results := map[string]int{}
	for seed := range uint64(randomServers) {
		text := randomAnswer(rand.New(rand.NewPCG(seed, 4)))
		tc := probetest.HTTPCase{Serve: func(c *probetest.Conn) {
			c.ReadHead()
			c.Say(text)
		}}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			get, port := tc.Start(t)
			at := site()
			theirs := kubeletHTTP(kubelet, get, at, tc)
			target := ours.Resolve(&corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}}, at)
			outcome := prober.Probe(t.Context(), target, tc.Timeout())
			results[fmt.Sprintf("%s, discarded %t", theirs.Result, theirs.Discarded)]++
			all.compare(t, t.Name(), theirs, outcome.Kubelet, func(message string) string { return probetest.Normal(message, port) })
			if t.Failed() {
				t.Logf("the answer was %q", text)
			}
		})
	}
	t.Logf("results: %v", results)
	if len(results) < 4 {
		t.Errorf("the die gives too little: %v", results)
	}
}

// randomAnswer makes an answer that is mostly right in its beginning: what is wrong at once is soon tested.
func randomAnswer(lots *rand.Rand) string {
	var text strings.Builder
	for range lots.IntN(3) {
		if lots.IntN(4) == 0 {
			text.WriteString(pick(lots, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", "HTTP/1.1 102 \r\n\r\n"))
		}
	}
	text.WriteString(pick(lots, append(slices.Repeat([]string{"HTTP/1.1 "}, 20), "HTTP/1.0 ", "HTTP/2.0 ", "HTTP/1.1  ", "HTTP/9 ", "http/1.1 ", "ICY ")...))
	if lots.IntN(12) == 0 {
		text.WriteString(pick(lots, "", "20", "2000", "-1", "abc", "1e2", "099"))
	} else {
		fmt.Fprint(&text, pick(lots, 100+lots.IntN(900), 200+lots.IntN(20), 300+lots.IntN(10)))
	}
	text.WriteString(pick(lots, " OK\r\n", " OK\r\n", " OK\r\n", "\r\n", " \r\n", "\n", " a b c\r\n"))
	if lots.IntN(2) == 0 {
		text.WriteString(pick(lots, "X: y\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Location: /again\r\n", "Location: http://elsewhere.example.org/\r\n"))
	}
	for range lots.IntN(8) / 5 {
		text.WriteString(pick(lots,
			"Content-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n",
			"Content-Length: x\r\n", "Content-Length: 99999999999999999999\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n",
			"Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked, chunked\r\n", "Content-Encoding: gzip\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
			"Connection: upgrade\r\nUpgrade: h2c\r\n", "X: y\r\n", "X Y: z\r\n", ": empty\r\n", "No colon\r\n", " folded\r\n", "X: \x00\r\n", "Trailer: X\r\n",
			"Location: /again\r\n", "Location: http://127.0.0.1:1/\r\n", "Location: http://elsewhere.example.org/\r\n", "Location: //127.0.0.1:{PORT}/\r\n",
			"Location: ?\r\n", "Location: http://[\r\n", "Location: ftp://127.0.0.1/\r\n", "Location: \r\n", "Location: http://127.0.0.1:{PORT}/\r\nLocation: /b\r\n",
			"Set-Cookie: a=b\r\n", "Refresh: 0\r\n"))
	}
	if lots.IntN(15) != 0 {
		text.WriteString("\r\n")
	}
	text.WriteString(pick(lots, "", "", "fine", "hello", "hello and more", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n",
		"zz\r\n", "ffffffffffffffffff\r\n", "-5\r\n", "5\r\nhelloXX", strings.Repeat("x", 10239), strings.Repeat("x", 10240), strings.Repeat("x", 50_000),
		"2801\r\n"+strings.Repeat("x", 0x2801)+"\r\nzz\r\n"))
	return text.String()
}

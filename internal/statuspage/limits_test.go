package statuspage_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/statuspage"
)

// pipes is a listener whose connections are in memory, so that their time is that of the test.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
	dialled  byte
}

func newPipes() *pipes { return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial connects to the page, each time from another address.
func (p *pipes) dial() net.Conn {
	p.dialled++
	return p.dialFrom(netip.AddrFrom4([4]byte{10, 0, 0, p.dialled}))
}

// dialFrom connects to the page from an address.
func (p *pipes) dialFrom(from netip.Addr) net.Conn {
	client, server := net.Pipe()
	p.accepted <- located{server, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 40000))}
	return client
}

// located is a connection from somewhere.
type located struct {
	net.Conn
	from net.Addr
}

func (l located) RemoteAddr() net.Addr { return l.from }

// inTime runs a test with a page in a bubble of time.
func inTime(t *testing.T, change func(*statuspage.Options), test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		options := newWorld().options()
		if change != nil {
			change(&options)
		}
		p, server := newPipes(), statuspage.New(options).Server()
		go func() { _ = server.Serve(p) }() // it ends with the test
		test(t, p)
		_ = server.Close() // whatever is still open is the test's
		// The server lingers a moment over connections that it closes.
		<-time.After(time.Minute)
	})
}

// answered reads an answer's status; zero where the connection is closed without one.
func answered(c net.Conn) int {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = response.Body.Close() // of an answer whose status is all that matters
	return response.StatusCode
}

func head(path string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: kuberhealthy\r\nContent-Type: application/json\r\nKh-Run-Uuid: %s\r\nContent-Length: %d\r\n\r\n", path, runID, length)
}

func TestSlowClientsAreLeft(t *testing.T) {
	for name, tc := range map[string]struct {
		sent string
		// after which the connection is given up, with an answer where there is one to give.
		after time.Duration
		want  int
	}{
		"nothing is sent":        {sent: "", after: 5 * time.Second},
		"headers never end":      {sent: "POST /check HTTP/1.1\r\nHost: kuber", after: 5 * time.Second},
		"a report never ends":    {sent: head("/check", 1000) + `{"ok":`, after: 10 * time.Second, want: 400},
		"a page's body never is": {sent: "GET /json HTTP/1.1\r\nHost: kuberhealthy\r\nContent-Length: 5\r\n\r\n", after: 10 * time.Second, want: 200},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, nil, func(t *testing.T, p *pipes) {
				c := p.dial()
				begun := time.Now() //nolint:forbidigo // the bubble's
				go func() { _, _ = c.Write([]byte(tc.sent)) }()
				if status := answered(c); status != tc.want {
					t.Errorf("answered %d, want %d", status, tc.want)
				}
				if took := time.Since(begun); took < tc.after || took > tc.after+time.Second { //nolint:forbidigo // the bubble's
					t.Errorf("left after %v, want %v", took, tc.after)
				}
				_ = c.Close() // the server has
			})
		})
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	got := get(t, serve(t, newWorld().options()), "/json", strings.Repeat("x", 80<<10))
	if got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d", got.status)
	}
}

// stuck is a Reporter to whom nothing gets through.
type stuck struct{}

func (stuck) Report(ctx context.Context, _ kuberhealthy.Origin, _ kuberhealthy.Report) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestManyReportsAtOnce holds that reports which cannot be stored are answered in time, and hold up
// neither pages nor those who only ask whether anybody is there.
func TestManyReportsAtOnce(t *testing.T) {
	inTime(t, func(o *statuspage.Options) { o.Reporter = stuck{} }, func(t *testing.T, p *pipes) {
		const reports = 200
		statuses := make(chan int, reports)
		begun := time.Now() //nolint:forbidigo // the bubble's
		for range reports {
			c := p.dial()
			go func() {
				_, _ = c.Write([]byte(head("/check", 11) + `{"ok":true}`))
				statuses <- answered(c)
				_ = c.Close()
			}()
		}
		synctest.Wait()
		for _, path := range []string{"/check", "/externalCheckStatus", "/json", "/"} {
			c := p.dial()
			go func() { _, _ = c.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: kuberhealthy\r\n\r\n")) }()
			if status := answered(c); status != http.StatusOK {
				t.Errorf("%s was answered %d meanwhile", path, status)
			}
			_ = c.Close()
		}
		if waited := time.Since(begun); waited > 0 { //nolint:forbidigo // the bubble's
			t.Errorf("pages waited %v", waited)
		}
		for range reports {
			if status := <-statuses; status != http.StatusServiceUnavailable {
				t.Errorf("a report was answered %d", status)
			}
		}
		if took := time.Since(begun); took > 25*time.Second { //nolint:forbidigo // the bubble's
			t.Errorf("the last answer came after %v", took)
		}
	})
}

// TestManyLargeReportsAtOnce holds that bodies which never end take no more than their share of memory.
func TestManyLargeReportsAtOnce(t *testing.T) {
	inTime(t, nil, func(t *testing.T, p *pipes) {
		const senders = 100
		part := []byte(strings.Repeat(" ", 1<<20))
		refused := make(chan int, senders)
		for range senders {
			c := p.dial()
			go func() {
				go func() { _, _ = c.Write(append([]byte(head("/check", 2<<20)), part...)) }()
				refused <- answered(c)
				_ = c.Close()
			}()
		}
		counts := map[int]int{}
		for range senders {
			counts[<-refused]++
		}
		// Those beyond the 32 MiB are turned away, and the others are left after their time.
		if counts[http.StatusServiceUnavailable] < senders-33 || counts[http.StatusServiceUnavailable]+counts[http.StatusBadRequest] != senders {
			t.Errorf("answers: %v", counts)
		}
		c := p.dial()
		go func() { _, _ = c.Write([]byte(head("/check", 11) + `{"ok":true}`)) }()
		if status := answered(c); status != http.StatusOK {
			t.Errorf("a report afterwards was answered %d", status)
		}
		_ = c.Close()
	})
}

// TestOneSourceKeepsNobodyElseOut holds that whoever sends, from one address, as much as it can of what
// never ends or cannot be stored leaves room for everybody else.
func TestOneSourceKeepsNobodyElseOut(t *testing.T) {
	mean := netip.MustParseAddr("10.9.9.9")
	for name, sent := range map[string]string{
		"bodies of pages that never come": "GET /json HTTP/1.1\r\nHost: kuberhealthy\r\nContent-Length: 5\r\n\r\n",
		"answers that are never read":     "GET /json HTTP/1.1\r\nHost: kuberhealthy\r\n\r\n",
		"reports that are nobody's":       head("/externalCheckStatus", 11) + `{"ok":true}`,
		"reports that never end":          head("/check", 1<<20) + strings.Repeat(" ", 1<<20-1),
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(o *statuspage.Options) { o.Reporter = stuckFor{o.Reporter, mean} }, func(t *testing.T, p *pipes) {
				for range 100 {
					c := p.dialFrom(mean)
					defer c.Close()
					go func() { _, _ = c.Write([]byte(sent)) }()
				}
				synctest.Wait()
				for _, request := range []string{
					"GET / HTTP/1.1\r\nHost: kuberhealthy\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: kuberhealthy\r\n\r\n", head("/check", 11) + `{"ok":true}`,
				} {
					c := p.dial()
					go func() { _, _ = c.Write([]byte(request)) }()
					if status := answered(c); status != http.StatusOK {
						line, _, _ := strings.Cut(request, "\r\n")
						t.Errorf("%s of another was answered %d", line, status)
					}
					_ = c.Close() // what it was for is known
				}
			})
		})
	}
}

// stuckFor is a Reporter to whom nothing gets through from one address.
type stuckFor struct {
	kuberhealthy.Reporter

	address netip.Addr
}

func (s stuckFor) Report(ctx context.Context, from kuberhealthy.Origin, report kuberhealthy.Report) error {
	if from.Address == s.address {
		return stuck{}.Report(ctx, from, report)
	}
	return s.Reporter.Report(ctx, from, report)
}

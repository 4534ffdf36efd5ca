package vantage

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// hanging is a way on which nobody ever answers, which counts who is on it.
type hanging struct {
	mu        sync.Mutex
	now, most int
}

func (h *hanging) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	h.mu.Lock()
	h.now++
	h.most = max(h.most, h.now)
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	h.now--
	h.mu.Unlock()
	return nil, ctx.Err()
}

// calm is a program that always gets on.
func calm() time.Duration { return 0 }

func hung(n int, h *hanging) []plan.Question {
	var out []plan.Question
	for i := range n {
		out = append(out, plan.Question{Name: strconv.Itoa(i), Probe: probe.TCP{Address: "10.0.0.1:80"}, Options: probe.Options{Dial: h.dial}})
	}
	return out
}

// askHere returns the answers in the order of the questions, which are named by number.
func askHere(ctx context.Context, h *Here, questions []plan.Question, timeout time.Duration) []plan.Answer {
	out := make([]plan.Answer, len(questions))
	h.Each(ctx, questions, timeout, func(a plan.Answer) {
		out[slices.IndexFunc(questions, func(q plan.Question) bool { return q.Name == a.Name })] = a
	})
	return out
}

// TestEachAttemptHasItsTime holds that a question that waits for its turn loses none of its time.
func TestEachAttemptHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{}
		now := clock.RealClock{}.Now // the bubble's
		began := now()
		answers := askHere(t.Context(), NewHere(HereOptions{Now: now, Stalled: calm}), hung(40, h), time.Second)
		if took := now().Sub(began); took != 3*time.Second || h.most != atOnce {
			t.Errorf("40 questions took %s, %d at once", took, h.most)
		}
		for i, a := range answers {
			if a.Name != strconv.Itoa(i) || a.Unasked != nil || !a.Outcome.Strict.Failed() || a.Outcome.Latency != time.Second || a.From != "" || a.At.IsZero() {
				t.Errorf("answer %d: %+v", i, a)
			}
		}
	})
}

// TestARunThatIsEndedSaysNothing holds that what is cut short is no failure of the target.
func TestARunThatIsEndedSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		moved := errors.New("another replica runs this check now")
		time.AfterFunc(1500*time.Millisecond, func() { cancel(moved) })
		unasked := 0
		for _, a := range askHere(ctx, NewHere(HereOptions{Now: clock.RealClock{}.Now, Stalled: calm}), hung(40, &hanging{}), time.Second) {
			if errors.Is(a.Unasked, moved) {
				unasked++
				if a.Outcome.Strict.Result != "" {
					t.Errorf("an unasked question has an outcome: %+v", a.Outcome)
				}
			}
		}
		if unasked != 40-atOnce {
			t.Errorf("%d are unasked, want %d", unasked, 40-atOnce)
		}
	})
}

func TestQuestionsAreAskedInTheirOwnWay(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	t.Cleanup(s.Close)
	at, err := url.Parse("https://front.shop.svc/")
	if err != nil {
		t.Fatal(err)
	}
	secure, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	there := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
	trusting := &tls.Config{RootCAs: secure.TLSClientConfig.RootCAs, ServerName: "example.com"}
	answers := askHere(t.Context(), NewHere(HereOptions{Now: clock.RealClock{}.Now, Stalled: calm}), []plan.Question{
		{Name: "0", Probe: probe.HTTP{URL: at}, Options: probe.Options{Dial: there, TLS: trusting}},
		{Name: "1", Probe: probe.HTTP{URL: at}, Options: probe.Options{Dial: there, TLS: &tls.Config{ServerName: "example.com"}}},
		{Name: "2", Probe: probe.TCP{Address: s.Listener.Addr().String()}},
	}, 5*time.Second)
	if a := answers[0]; !a.Outcome.Strict.Passed() || a.Outcome.HTTP.Body != "front.shop.svc" {
		t.Errorf("by its own way: %+v", a.Outcome)
	}
	if a := answers[1]; a.Outcome.Cause != probe.CertificateInvalid {
		t.Errorf("trusting nobody: %+v", a.Outcome)
	}
	if a := answers[2]; !a.Outcome.Strict.Passed() {
		t.Errorf("without options: %+v", a.Outcome)
	}
}

// TestTellsHowLongItStoodStill holds that what an attempt took is told apart from what the asker itself cost it.
func TestTellsHowLongItStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled atomic.Int64
		stalled.Store(int64(time.Hour)) // long ago
		time.AfterFunc(500*time.Millisecond, func() { stalled.Add(int64(300 * time.Millisecond)) })
		here := NewHere(HereOptions{Now: clock.RealClock{}.Now, Stalled: func() time.Duration { return time.Duration(stalled.Load()) }})
		began := clock.RealClock{}.Now()
		for i, a := range askHere(t.Context(), here, hung(atOnce+1, &hanging{}), time.Second) {
			want := 300 * time.Millisecond
			if a.At.Sub(began) > time.Second { // the one that waited for its turn
				want = 0
			}
			if a.Stalled != want {
				t.Errorf("answer %d after %s: stalled for %s, want %s", i, a.At.Sub(began), a.Stalled, want)
			}
		}
	})
}

// TestAnswersAreNotHeld asks many who send as much as they may, as every endpoint of a Service can be made to: what
// was told of is not held until all have answered.
func TestAnswersAreNotHeld(t *testing.T) {
	const body, targets = 1 << 20, 200
	text := make([]byte, body)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }))
	t.Cleanup(s.Close)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	questions := make([]plan.Question, targets)
	for i := range questions {
		questions[i] = plan.Question{Name: strconv.Itoa(i), Probe: probe.HTTP{URL: at, BodyLimit: body}}
	}
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	answered, most := 0, int64(0)
	NewHere(HereOptions{Now: clock.RealClock{}.Now, Stalled: calm}).Each(t.Context(), questions, time.Minute, func(a plan.Answer) {
		if a.Outcome.HTTP == nil || len(a.Outcome.HTTP.Body) != body {
			t.Errorf("answer %s: %+v", a.Name, a.Outcome.Strict)
		}
		if answered++; answered%50 == 0 {
			most = max(most, held()-before)
		}
	})
	// Those that are just being asked hold theirs, and what it takes to read them.
	if answered != targets || most > targets*body/2 {
		t.Errorf("%d answers, and %d MiB were held", answered, most>>20)
	}
}

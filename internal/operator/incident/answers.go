package incident

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/flowcontrol"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// answerTTL is how long an answer is good. While findings stay the same their questions do too, so that
	// this is how often each of them is asked.
	answerTTL = 90 * time.Second
	// questionsPerSecond and questionsAtOnce bound what is asked, however often findings change.
	questionsPerSecond = 1
	questionsAtOnce    = 40
	// patience is how long a diagnosis waits for all answers together. Those that come later, from a machine that is
	// silent, are seen by the next.
	patience = 300 * time.Millisecond
	// asking bounds one round of questions; package live gives each of them five seconds.
	asking = 15 * time.Second
)

// answers remembers what was answered, and asks what was not.
type answers struct {
	ask rule.Answerer
	now func() time.Time
	// news is told when answers came that no diagnosis waited for.
	news   func()
	budget flowcontrol.RateLimiter
	// left is what is left of the patience of the diagnosis that is being made.
	left time.Duration

	mu      sync.Mutex
	known   map[snapshot.Question]remembered
	pending map[snapshot.Question]bool
	// rounds of asking outlast the diagnosis that began them.
	rounds sync.WaitGroup
	// ended is closed when nobody wants answers any more.
	ended chan struct{}
}

type remembered struct {
	answer snapshot.Answer
	at     time.Time
}

func newAnswers(ask rule.Answerer, now func() time.Time, news func()) *answers {
	return &answers{
		ask: ask, now: now, news: news, budget: flowcontrol.NewTokenBucketRateLimiter(questionsPerSecond, questionsAtOnce),
		known: map[snapshot.Question]remembered{}, pending: map[snapshot.Question]bool{}, ended: make(chan struct{}),
	}
}

// begin begins a diagnosis. Of those there is one at a time.
func (a *answers) begin() { a.left = patience }

// Answer implements rule.Answerer with what is known, or gets known soon.
func (a *answers) Answer(ctx context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	if fresh := a.fresh(questions); len(fresh) > 0 {
		done := make(chan struct{})
		// A diagnosis ends before the slowest answer does.
		long, cancel := context.WithTimeout(context.WithoutCancel(ctx), asking)
		a.rounds.Go(func() {
			defer cancel()
			a.round(long, fresh)
			close(done)
		})
		a.rounds.Go(func() {
			select {
			case <-a.ended:
				cancel()
			case <-done:
			}
		})
		timer := time.NewTimer(a.left)
		began := a.now()
		select {
		case <-done:
		case <-ctx.Done():
			a.tellAfter(done)
		case <-timer.C:
			a.tellAfter(done)
		}
		timer.Stop()
		a.left = max(0, a.left-a.now().Sub(began))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[snapshot.Question]snapshot.Answer{}
	for _, q := range questions {
		if r, ok := a.known[q]; ok {
			out[q] = r.answer
		}
	}
	return out
}

// fresh are the questions to ask now: those to which no answer is known that is still good, and that nobody
// is asking.
func (a *answers) fresh(questions []snapshot.Question) []snapshot.Question {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for q, r := range a.known {
		// Where it is asked again, the old answer stands until there is a new one, but not for ever.
		if now.Sub(r.at) > 2*answerTTL {
			delete(a.known, q)
		}
	}
	var out []snapshot.Question
	for _, q := range questions {
		if r, ok := a.known[q]; ok && now.Sub(r.at) < answerTTL || a.pending[q] || !a.budget.TryAccept() {
			continue
		}
		a.pending[q] = true
		out = append(out, q)
	}
	return out
}

// round asks.
func (a *answers) round(ctx context.Context, questions []snapshot.Question) {
	got := a.ask.Answer(ctx, questions)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range questions {
		delete(a.pending, q)
		if answer, ok := got[q]; ok {
			a.known[q] = remembered{answer: answer, at: a.now()}
		}
	}
}

// tellAfter tells of answers that nobody waits for any more.
func (a *answers) tellAfter(done <-chan struct{}) {
	a.rounds.Go(func() {
		<-done
		a.news()
	})
}

// end ends all asking. There must be no diagnosis any more.
func (a *answers) end() {
	close(a.ended)
	a.rounds.Wait()
}

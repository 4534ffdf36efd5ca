package live

import (
	"context"
	"iter"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// logTimeout bounds the reading of one log that no rule waits for.
	logTimeout = 10 * time.Second
	// logsAtOnce bounds how many logs are read, and held, at a time.
	logsAtOnce = 8
	// silentAfter is how many logs of one node may time out before the node is asked no more.
	silentAfter = 2
)

// LogLimits bound how much of a log is read.
type LogLimits struct {
	// Lines, counted from the end.
	Lines int
	// Bytes of them.
	Bytes int
}

// Logs reads the ends of containers' logs, in the order of the questions, a few at a time: no more than
// those are held, so that the logs of a large cluster can be written as they come. The text of an answer
// is redacted, and bounded by the limits rather than by what snapshot.Answer promises. A node whose
// kubelet does not answer is left alone after a few logs.
func (c *Client) Logs(ctx context.Context, questions []snapshot.Question, limits LogLimits) iter.Seq2[snapshot.Question, snapshot.Answer] {
	return func(yield func(snapshot.Question, snapshot.Answer) bool) {
		ctx, cancel := context.WithCancel(quiet(ctx))
		defer cancel()
		silent := &silentNodes{timeouts: map[string]int{}}
		var coming []chan snapshot.Answer
		for next := 0; next < len(questions) || len(coming) > 0; {
			for next < len(questions) && len(coming) < logsAtOnce {
				answer := make(chan snapshot.Answer, 1)
				q := questions[next]
				go func() { answer <- c.longLog(ctx, q, limits, silent) }()
				coming = append(coming, answer)
				next++
			}
			answer := <-coming[0]
			coming = coming[1:]
			if !yield(questions[next-len(coming)-1], answer) {
				return
			}
		}
	}
}

// silentNodes counts, by node, the logs that did not come in time. It is safe for concurrent use.
type silentNodes struct {
	mu       sync.Mutex
	timeouts map[string]int
}

func (s *silentNodes) is(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timeouts[node] >= silentAfter
}

func (s *silentNodes) timedOut(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeouts[node]++
}

func (c *Client) longLog(ctx context.Context, q snapshot.Question, limits LogLimits, silent *silentNodes) snapshot.Answer {
	node := ""
	if p, ok := snapshot.Get[*corev1.Pod](c.snapshot.Load(), q.Namespace, q.Name); ok {
		node = p.Spec.NodeName
	}
	asked := c.clock.at(c.options.Now())
	switch {
	case ctx.Err() != nil:
		return snapshot.Answer{Outcome: snapshot.TimedOut, Error: "the time was up", At: asked}
	case node != "" && silent.is(node):
		return snapshot.Answer{Outcome: snapshot.TimedOut, Error: "node " + node + " did not answer for other logs", At: asked}
	}
	ctx, cancel := context.WithTimeout(ctx, min(logTimeout, c.options.RequestTimeout))
	defer cancel()
	text, err := c.log(ctx, q, limits.Lines, limits.Bytes)
	if err != nil {
		outcome, said := answerTo(err)
		if outcome == snapshot.TimedOut {
			silent.timedOut(node)
		}
		return snapshot.Answer{Outcome: outcome, Error: said, At: asked}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: text, At: asked}
}

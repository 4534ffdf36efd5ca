package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// answerTimeout bounds one question. A kubelet that is reachable answers in milliseconds; one
	// whose machine is off takes as long as the API server keeps dialing (30 s), which tells no more.
	answerTimeout = 5 * time.Second
	// answersAtOnce bounds how many questions are asked at a time.
	answersAtOnce = 16
	// kubeletTries is how many pods of a node are tried where one turns out to be gone or closed to
	// this user.
	kubeletTries = 3
)

// Answer answers questions about the cluster that Collect read. It only reads. A question that ctx
// leaves no time for stays without an answer.
func (c *Client) Answer(ctx context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	ctx = quiet(ctx)
	answers := make([]snapshot.Answer, len(questions))
	slots := make(chan struct{}, answersAtOnce)
	var wg sync.WaitGroup
	for i, q := range questions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			answers[i] = c.answer(ctx, q)
		})
	}
	wg.Wait()
	out := make(map[snapshot.Question]snapshot.Answer, len(questions))
	for i, q := range questions {
		if answers[i].Outcome != "" {
			out[q] = answers[i]
		}
	}
	return out
}

// answer returns the zero Answer where the question could not be asked.
func (c *Client) answer(ctx context.Context, q snapshot.Question) snapshot.Answer {
	if ctx.Err() != nil {
		return snapshot.Answer{}
	}
	ctx, cancel := context.WithTimeout(ctx, min(answerTimeout, c.options.RequestTimeout))
	defer cancel()
	asked := c.clock.at(c.options.Now())
	var a snapshot.Answer
	switch q.Kind {
	case snapshot.ContainerLog:
		a = c.containerLog(ctx, q)
	case snapshot.KubeletConnection:
		a = c.kubeletConnection(ctx, q.Name)
	case snapshot.KubeletConfig:
		a = c.kubeletConfig(ctx, q.Name)
	case snapshot.KubeletStats:
		a = c.kubeletStats(ctx, q.Name)
	case snapshot.ContainerMetrics:
		a = c.containerMetrics(ctx, q)
	case snapshot.ObjectCount:
		a = c.objectCount(ctx, q)
	case snapshot.StoredObject:
		a = c.storedObject(ctx, q)
	case snapshot.AccessReview:
		a = c.accessReview(ctx, q)
	case snapshot.DryRunCreate:
		a = c.dryRunCreate(ctx, q)
	case snapshot.Dial:
		a = c.dialAnswer(ctx, q.Name)
	case snapshot.ConfigMapValue:
		a = c.configMapValue(ctx, q)
	case snapshot.CertificateOf:
		a = c.certificateOf(ctx, q)
	case snapshot.APIServerMetrics:
		a = c.metrics(ctx)
	default:
		return snapshot.Answer{}
	}
	a.At = asked
	return collect.CleanAnswer(q, a)
}

// failedAnswer is the answer of a request that failed at the API server itself.
func failedAnswer(err error) snapshot.Answer {
	a := snapshot.Answer{Outcome: snapshot.Errored, Error: words(err)}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.Outcome, a.Error = snapshot.TimedOut, "no answer in time"
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		a.Outcome = snapshot.Denied
	case apierrors.IsNotFound(err):
		a.Outcome = snapshot.Absent
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err):
		a.Outcome = snapshot.TimedOut
	}
	return a
}

// containerLog reads the end of a container's log.
func (c *Client) containerLog(ctx context.Context, q snapshot.Question) snapshot.Answer {
	text, err := c.log(ctx, q, collect.LogLines, collect.LogBytes)
	if err != nil {
		outcome, said := answerTo(err)
		return snapshot.Answer{Outcome: outcome, Error: said}
	}
	return snapshot.Answer{Outcome: snapshot.Answered, Text: text}
}

// kubeletConnection learns whether the API server reaches a node's kubelet, with no right but to
// read logs: for one byte of a log of any pod there, the API server has to open a connection, and
// when it cannot, it says why. A kubelet that answers with an error is there too.
func (c *Client) kubeletConnection(ctx context.Context, node string) snapshot.Answer {
	pods := c.podsToAsk(node)
	a := snapshot.Answer{Outcome: snapshot.Absent, Error: "no pod is bound to node " + node}
	for _, p := range pods[:min(len(pods), kubeletTries)] {
		q := snapshot.Question{Namespace: p.Namespace, Name: p.Name, Container: p.Spec.Containers[0].Name}
		_, err := c.log(ctx, q, 1, 1)
		if err == nil {
			return snapshot.Answer{Outcome: snapshot.Answered}
		}
		outcome, said := answerTo(err)
		if fromKubelet(err) {
			return snapshot.Answer{Outcome: snapshot.Answered, Error: said}
		}
		a = snapshot.Answer{Outcome: outcome, Error: said}
		if outcome != snapshot.Absent && outcome != snapshot.Denied {
			break
		}
	}
	return a
}

// podsToAsk are the pods bound to a node that still have a log, the best to ask first: those whose
// containers run, system pods before others, for they are the last to be deleted.
func (c *Client) podsToAsk(node string) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range c.snapshot.Load().PodsOn(node) {
		if len(p.Spec.Containers) > 0 && !snapshot.PodDone(p) {
			pods = append(pods, p)
		}
	}
	rank := func(p *corev1.Pod) int {
		r := 0
		if p.Status.Phase != corev1.PodRunning {
			r += 2
		}
		if p.Namespace != metav1.NamespaceSystem {
			r++
		}
		return r
	}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return rank(a) - rank(b) })
	return pods
}

// log reads the end of a container's log.
func (c *Client) log(ctx context.Context, q snapshot.Question, lines, bytes int) (string, error) {
	req := c.rest.Get().AbsPath("/api/v1/namespaces", q.Namespace, "pods", q.Name, "log").MaxRetries(0).
		SetHeader("Accept", "text/plain, application/json").
		Param("tailLines", strconv.Itoa(lines)).Param("limitBytes", strconv.Itoa(bytes))
	if q.Container != "" {
		req.Param("container", q.Container)
	}
	if q.Previous {
		req.Param("previous", "true")
	}
	body, err := req.Stream(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	text, err := collect.Tail(body, lines, bytes)
	if err != nil && text == "" {
		return "", fmt.Errorf("reading the log: %w", err)
	}
	return text, nil
}

package vantage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/operator/check/plan"
	"github.com/maek-dev/maek/internal/probe"
)

// TestConnectionsAreKept holds that agents are asked again on the same connections, with the token that there is
// then, and that those of nodes that change are not.
func TestConnectionsAreKept(t *testing.T) {
	c := newCluster()
	c.join(t, "w1", agent(t, "w1", answering("well")))
	now := time.Unix(1000, 0)
	n := 0
	nodes := NewNodes(NodesOptions{Reader: c, Port: c.port, Now: func() time.Time { return now }, Token: func() (string, error) {
		n++
		return fmt.Sprint("token-", n), nil
	}})
	t.Cleanup(nodes.Close)
	ask := func() string {
		return strings.Join(told(askNodes(t.Context(), nodes, []plan.Question{tcp("a", "10.0.0.1:80")}, time.Minute)), "; ")
	}
	for range 3 {
		ask()
	}
	now = now.Add(rosterFor)
	if got := ask(); got != "a from w1: well 10.0.0.1:80" {
		t.Error(got)
	}
	if c.connections["w1"] != 1 || c.requests["w1"] != 4 || c.lists != 4 {
		t.Errorf("%d connections for %d requests, %d lists", c.connections["w1"], c.requests["w1"], c.lists)
	}
	if diff := cmp.Diff([]string{"Bearer token-1", "Bearer token-2", "Bearer token-3", "Bearer token-4"}, c.tokens); diff != "" {
		t.Errorf("tokens (-want +got):\n%s", diff)
	}
	now = now.Add(rosterFor)
	c.nodes[0].Annotations = map[string]string{monitor.KeyAnnotation: "sha256:0"}
	if got := ask(); !strings.Contains(got, "another key") {
		t.Errorf("with another key: %s", got)
	}
}

func TestManyQuestionsAreAskedInParts(t *testing.T) {
	c := newCluster()
	c.join(t, "w1", agent(t, "w1", answering("well")))
	var questions []plan.Question
	for i := range 150 {
		questions = append(questions, tcp(strconv.Itoa(i), fmt.Sprintf("10.0.0.1:%d", i+1)))
	}
	answers := askNodes(t.Context(), c.newNodes(t), questions, time.Minute)
	for i, a := range answers {
		if want := fmt.Sprintf("%d from w1: well 10.0.0.1:%d", i, i+1); told([]plan.Answer{a})[0] != want {
			t.Errorf("%q, want %q", told([]plan.Answer{a}), want)
		}
	}
	if len(answers) != 150 || c.requests["w1"] != 3 {
		t.Errorf("%d answers in %d requests", len(answers), c.requests["w1"])
	}
}

func TestConfirmAsksAsManyNodesAsItTakes(t *testing.T) {
	c := newCluster()
	for i := range 6 {
		name := fmt.Sprint("w", i)
		h := agent(t, name, answering("well"))
		if i%2 == 0 {
			h = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not now", http.StatusServiceUnavailable) }
		}
		c.join(t, name, h)
	}
	nodes := c.newNodes(t)
	first := map[string]bool{}
	for i := range 10 {
		answers := nodes.Confirm(t.Context(), []plan.Question{tcp(fmt.Sprint("pod-", i), "10.0.0.1:80")}, time.Minute, 2)
		var confirmed []string
		for _, a := range answers {
			if a.Unasked == nil {
				confirmed = append(confirmed, a.From)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(confirmed)))) != 2 {
			t.Errorf("confirmed from %q of %q", confirmed, told(answers))
		}
		first[confirmed[0]] = true
	}
	if len(first) < 2 {
		t.Errorf("all pods are confirmed from %v", first)
	}
	more := nodes.Confirm(t.Context(), []plan.Question{tcp("a", "10.0.0.1:80")}, time.Minute, 5)
	if len(more) != 6 {
		t.Errorf("of six nodes, three of which work, five were to confirm: %q", told(more))
	}
}

// TestASilentAgentIsNotWaitedForLongerThanTheRun ends a run whose agent begins to answer and goes silent.
func TestASilentAgentIsNotWaitedForLongerThanTheRun(t *testing.T) {
	c := newCluster()
	begun := make(chan struct{})
	c.join(t, "w1", func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		close(begun)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-begun
		cancel(errors.New("the replica ends"))
	}()
	answers := askNodes(ctx, c.newNodes(t), []plan.Question{tcp("a", "10.0.0.1:80")}, time.Minute)
	if len(answers) != 1 || answers[0].Unasked == nil || !strings.Contains(answers[0].Unasked.Error(), "the replica ends") {
		t.Errorf("%q", told(answers))
	}
}

func TestARedirectMayLeadToAnotherPortButNotOnNodes(t *testing.T) {
	for name, tc := range map[string]struct {
		question plan.Question
		want     []string
	}{
		"HTTP":            {plan.Question{Probe: probe.HTTP{}, Addresses: []string{"10.0.0.1:80", "[fd00::1]:80", "10.0.0.1:81"}}, []string{"10.0.0.1", "fd00::1"}},
		"HTTP on a node":  {plan.Question{Probe: probe.HTTP{}, Addresses: []string{"10.0.0.1:80"}, Nodes: true}, []string{"10.0.0.1:80"}},
		"everything else": {plan.Question{Probe: probe.TCP{}, Addresses: []string{"10.0.0.1:80"}}, []string{"10.0.0.1:80"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, addressesOf(tc.question)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswersAreBoundedTogether(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	answers := gather(func(tell func(int, plan.Answer)) {
		for i := range 70 {
			tell(0, plan.Answer{From: fmt.Sprintf("w%02d", i), Outcome: probe.Outcome{HTTP: &probe.HTTPAnswer{Body: body}}})
		}
	})
	unasked := 0
	for _, a := range answers {
		if a.Unasked != nil {
			unasked++
		}
	}
	if len(answers) != 70 || unasked != 6 {
		t.Errorf("of %d answers of 1 MiB, %d are left out", len(answers), unasked)
	}
}

package incident

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/maek-dev/maek/internal/snapshot"
)

// kubelets answer after some time, each question by its name.
type kubelets struct {
	asked []string
	takes time.Duration
}

func (k *kubelets) Answer(ctx context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	out := map[snapshot.Question]snapshot.Answer{}
	for _, q := range questions {
		k.asked = append(k.asked, q.Name)
		out[q] = snapshot.Answer{Outcome: snapshot.Answered, Text: "of " + q.Name}
	}
	select {
	case <-time.After(k.takes):
		return out
	case <-ctx.Done():
		return nil
	}
}

func question(name string) snapshot.Question {
	return snapshot.Question{Kind: snapshot.KubeletConfig, Name: name}
}

func TestAnAnswerIsAskedForOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelets{takes: 10 * time.Millisecond}
		a := newAnswers(k, clock.RealClock{}.Now, func() {})
		for range 5 {
			a.begin()
			if got := a.Answer(t.Context(), []snapshot.Question{question("w1")}); got[question("w1")].Text != "of w1" {
				t.Errorf("answers %v", got)
			}
		}
		<-time.After(answerTTL)
		a.begin()
		a.Answer(t.Context(), []snapshot.Question{question("w1"), question("w2")})
		if diff := cmp.Diff([]string{"w1", "w1", "w2"}, k.asked); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		a.end()
	})
}

func TestADiagnosisDoesNotWaitForTheSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelets{takes: 5 * time.Second}
		told := make(chan struct{}, 1)
		a := newAnswers(k, clock.RealClock{}.Now, func() { told <- struct{}{} })
		a.begin()
		ctx, cancel := context.WithTimeout(t.Context(), patience+time.Millisecond)
		defer cancel()
		if got := a.Answer(ctx, []snapshot.Question{question("w1")}); len(got) > 0 || ctx.Err() != nil {
			t.Errorf("answers %v; or it waited longer than it has patience: %v", got, ctx.Err())
		}
		synctest.Wait()
		// It is not asked twice meanwhile.
		if got := a.Answer(t.Context(), []snapshot.Question{question("w1")}); len(got) > 0 || len(k.asked) != 1 {
			t.Errorf("answers %v, asked %v", got, k.asked)
		}
		<-told
		if got := a.Answer(t.Context(), []snapshot.Question{question("w1")}); len(got) != 1 || len(k.asked) != 1 {
			t.Errorf("answers %v, asked %v", got, k.asked)
		}
		a.end()
	})
}

func TestQuestionsHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &kubelets{}
		a := newAnswers(k, clock.RealClock{}.Now, func() {})
		for i := range 10 * questionsAtOnce {
			a.begin()
			a.Answer(t.Context(), []snapshot.Question{question(string(rune('가' + i)))})
		}
		if n := len(k.asked); n > questionsAtOnce+1 {
			t.Errorf("%d questions were asked at once", n)
		}
		a.end()
	})
}

func TestPace(t *testing.T) {
	tests := map[string]struct {
		cost        time.Duration
		wanted      bool
		least, most time.Duration
	}{
		"a small cluster":                {10 * time.Millisecond, false, soonest, latest},
		"a large one":                    {time.Second, false, 1500 * time.Millisecond, 15 * time.Second},
		"an incident lingers":            {10 * time.Millisecond, true, soonest, lingering},
		"an incident of a large lingers": {4 * time.Second, true, 6 * time.Second, 6 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			least, most := pace(tc.cost, tc.wanted)
			if least != tc.least || most != tc.most {
				t.Errorf("at least %s and at most %s, want %s and %s", least, most, tc.least, tc.most)
			}
		})
	}
}

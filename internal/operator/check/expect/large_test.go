package expect

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/probe"
)

// TestLargeBodiesWaitForTheirTurn holds that what many large answers take in memory at once is bounded, and that small
// ones wait for nobody.
func TestLargeBodiesWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := make(chan struct{}, largeAtOnce)
		judge := func(body string) <-chan *finding {
			done := make(chan *finding, 1)
			go func() {
				w := work{left: maxSteps, large: turns}
				done <- w.judgeJSON([]v1alpha1.JSONExpectation{{Path: ".status", Equals: new("ok")}}, &probe.HTTPAnswer{Body: body})
			}()
			synctest.Wait()
			return done
		}
		ended := func(done <-chan *finding) bool {
			select {
			case f := <-done:
				if f != nil {
					t.Errorf("a good body: %s", f.message)
				}
				return true
			default:
				return false
			}
		}
		small := `{"status":"ok"}`
		text := small + strings.Repeat(" ", probe.KubeletBodyLimit)
		for range largeAtOnce {
			turns <- struct{}{}
		}
		waiting := judge(text)
		if ended(waiting) {
			t.Error("one more large body was judged beside as many as may be")
		}
		if !ended(judge(small)) {
			t.Error("a small body has to wait")
		}
		<-turns
		synctest.Wait()
		if !ended(waiting) {
			t.Error("a large body still waits though its turn has come")
		}
		if len(turns) != largeAtOnce-1 {
			t.Errorf("%d turns are taken, want %d", len(turns), largeAtOnce-1)
		}
	})
}

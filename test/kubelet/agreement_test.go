package kubelet_test

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	ours "github.com/maek-dev/maek/internal/probe"
	"k8s.io/kubernetes/pkg/probe"
)

// differences are the texts in which the two are not the same to the letter, and why. Results are
// the same in all of them. Tests fail when one is no longer there.
var differences = map[string]string{
	"HTTP: headers without end": "headers are read up to 1 MiB here, and up to 10 MiB by the kubelet",
	"HTTP: hints without end":   "headers are read up to 1 MiB here, and up to 10 MiB by the kubelet",
}

// agreement counts comparisons, and prints how they went when its test is over.
type agreement struct {
	mu             sync.Mutex
	compared, same int
	listed         map[string]bool
}

func newAgreement(t *testing.T, what string) *agreement {
	a := &agreement{listed: map[string]bool{}}
	t.Cleanup(func() {
		t.Logf("agreement on %s: %d of %d to the letter, %d with a listed difference of texts", what, a.same, a.compared, len(a.listed))
		if a.compared == 0 {
			t.Error("nothing was compared")
		}
	})
	return a
}

// verdictOf puts what the kubelet's packages return into our words.
func verdictOf(result probe.Result, output string, err error) ours.Verdict {
	if err != nil {
		return ours.Verdict{Result: ours.Result(result), Message: err.Error(), Discarded: true}
	}
	return ours.Verdict{Result: ours.Result(result), Message: output}
}

// compare holds our verdict against the kubelet's, after normal has made their texts comparable.
func (a *agreement) compare(t *testing.T, name string, kubelet, maek ours.Verdict, normal func(string) string) {
	t.Helper()
	kubelet.Message, maek.Message = normal(kubelet.Message), normal(maek.Message)
	why, listed := differences[name]
	a.mu.Lock()
	defer a.mu.Unlock()
	a.compared++
	if kubelet == maek {
		a.same++
		if listed {
			t.Errorf("both say %q: take the case out of the table of differences (%s)", maek.Message, why)
		}
		return
	}
	if listed && kubelet.Result == maek.Result && kubelet.Discarded == maek.Discarded {
		a.listed[name] = true
		return
	}
	t.Errorf("-kubelet +maek:\n%s", cmp.Diff(kubelet, maek))
}

func asItIs(message string) string { return message }

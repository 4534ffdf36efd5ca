package probe_test

import (
	"testing"

	"github.com/maek-dev/maek/internal/probe"
)

func TestEveryDifferenceIsExplainedInBothLanguages(t *testing.T) {
	all := []probe.Difference{
		probe.BodyLost, probe.RedirectedAway, probe.PortUnresolved, probe.RequestInvalid,
		probe.NoHandler, probe.CommandNotRun, probe.ConnectionErrorHidden,
	}
	for _, difference := range all {
		for _, kind := range probe.Kinds() {
			text := difference.Text(kind)
			if text.EN == "" || text.KO == "" || text.EN == text.KO {
				t.Errorf("%s of %s: %+v", difference, kind, text)
			}
		}
	}
	if text := probe.Difference("").Text(probe.Liveness); !text.IsZero() {
		t.Errorf("no difference is explained: %+v", text)
	}
}

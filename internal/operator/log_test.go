package operator

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// TestLibrariesSpeakToThoseWhoDebug sends errors as klog and controller-runtime do: through logr, which
// does not ask whether they are wanted.
func TestLibrariesSpeakToThoseWhoDebug(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		level slog.Level
		want  string
	}{
		"nothing at the level at which the operator logs": {slog.LevelInfo, ""},
		"all of it where one debugs":                      {slog.LevelDebug, "level=DEBUG msg=\"retrieving a Lease\" replica=a part=x err=\"no answer\"\nlevel=DEBUG msg=well replica=a part=x\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			handler := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: tc.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})
			log := logr.FromSlogHandler(slog.New(Quiet(handler)).With("replica", "a").Handler()).WithValues("part", "x")
			log.Error(errors.New("no answer"), "retrieving a Lease")
			log.Info("well")
			if got := out.String(); got != tc.want {
				t.Errorf("the log has %q, want %q", got, tc.want)
			}
		})
	}
}

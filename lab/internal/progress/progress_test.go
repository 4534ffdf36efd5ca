package progress_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maek-dev/maek/lab/internal/progress"
)

func TestEachStepTellsHowLongItTook(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	printer := progress.New(&out, func() time.Time { return now })

	if err := printer.Step("w1: booted", func() error {
		now = now.Add(1200 * time.Millisecond)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no disk")
	if err := printer.Step("w2: booted", func() error {
		now = now.Add(300 * time.Millisecond)
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
	printer.Total("in all")

	want := "   1.2s  w1: booted\n   0.3s  w2: booted: failed\n   1.5s  in all\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

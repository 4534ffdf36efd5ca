package logs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// followEvery is how often logs are looked at for new lines while they are followed.
const followEvery = 500 * time.Millisecond

// Follow gives the lines of all logs of a machine as they are written, in the order of their times,
// from since on, until the context ends or yield says false. Lines of the whole journal are given,
// known to the catalogue or not. What cannot be read is told once by the error that is returned, if
// nothing can be read, or else by tell.
func Follow(ctx context.Context, host monitor.Host, since time.Time, tell func(error), yield func(Line) bool) error {
	s := newSources(host, map[string]string{})
	defer s.close()
	s.all = true
	s.lookback = host.Now().Sub(since)
	s.kernelLookback = s.lookback
	told := map[string]bool{}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		errs := []error{s.refresh(ctx)}
		if len(s.open) == 0 {
			return errors.Join(append(errs, errors.New("no log of this machine can be read"))...)
		}
		var batch []Line
		for _, name := range s.names() {
			_, err := s.open[name].read(ctx, readLimit, func(l Line) { batch = append(batch, l) })
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(errs...); err != nil && !told[err.Error()] {
			told[err.Error()] = true
			tell(err)
		}
		slices.SortStableFunc(batch, func(a, b Line) int { return a.At.Compare(b.At) })
		for _, l := range batch {
			if !yield(l) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

package check

import (
	"time"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
)

// wishesApart is the least time from one run of a check out of turn to the next. Whoever writes the annotation, or
// changes the spec, again and again gets no more runs than a period of so long would give.
const wishesApart = 5 * time.Second

// longestWish is how long the text of a wish may be, in bytes: longer ones are no times.
const longestWish = 64

// wish is when somebody wished for a run that was not granted yet; what cannot be read is no wish.
func (s *subject) wish(now time.Time) (at time.Time, ok bool) {
	text := s.check.Annotations[v1alpha1.AnnotationRunNow]
	if text == "" {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil && at.After(s.wishedBefore) && !at.Equal(s.asked) && at.Sub(now) < maxSkew
}

// grant makes the run out of turn that somebody waits for, if one does, as soon as the one before is long enough
// ago. Of the wishes meanwhile the last counts.
func (c *Controller) grant(s *subject, now time.Time) {
	at, wished := s.wish(now)
	if !wished && !s.changed {
		return
	}
	// A clock that is put back keeps nobody waiting.
	if left := s.grantAt.Sub(now); left > 0 && left <= wishesApart {
		return
	}
	if wished {
		s.asked = at
	}
	s.changed, s.grantAt = false, now.Add(wishesApart)
	c.scheduler.RunNow(string(s.uid))
}

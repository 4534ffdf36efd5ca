package tail

import (
	"strconv"
	"strings"
	"time"
)

// Stamp takes the time off the beginning of a line of syslog: RFC 3339, or RFC 3164, which has no
// year and no zone. The year is the one that brings it nearest to now, so that the last line of
// December is not read in January as one of the future. The zone of RFC 3164 is now's. A line that
// begins with no time is returned as it is.
func Stamp(line string, now time.Time) (at time.Time, rest string, ok bool) {
	if first, rest, found := strings.Cut(line, " "); found && len(first) >= len("2006-01-02T15:04:05Z") && first[4] == '-' {
		if at, err := time.Parse(time.RFC3339Nano, first); err == nil {
			return at.UTC(), rest, true
		}
	}
	if len(line) < len(time.Stamp)+1 {
		return time.Time{}, line, false
	}
	// A leap day exists only in a leap year: the year must be there when it is read.
	text, rest := line[:len(time.Stamp)], strings.TrimPrefix(line[len(time.Stamp):], " ")
	var best time.Time
	for _, year := range []int{now.Year() - 1, now.Year(), now.Year() + 1} {
		at, err := time.ParseInLocation("2006 "+time.Stamp, strconv.Itoa(year)+" "+text, now.Location())
		if err == nil && (best.IsZero() || at.Sub(now).Abs() < best.Sub(now).Abs()) {
			best = at
		}
	}
	if best.IsZero() {
		return time.Time{}, line, false
	}
	return best.UTC(), rest, true
}

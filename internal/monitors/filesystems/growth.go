//go:build linux

package filesystems

import "time"

const (
	// sampleEvery is how far apart the kept measurements of one file system lie.
	sampleEvery = 10 * time.Minute
	// samplesKept bounds them: growth is measured over the last six hours, as long as what fills disks
	// on nodes usually takes, and short enough to follow a change.
	samplesKept = 37
)

// sample is how much of a file system was used at a moment.
type sample struct {
	at   time.Time
	used uint64
}

// growth remembers how the use of one file system changed.
type growth struct{ samples []sample }

// add takes in a measurement.
func (g *growth) add(now sample) {
	if n := len(g.samples); n > 0 && now.at.Sub(g.samples[n-1].at) < sampleEvery {
		return
	}
	g.samples = append(g.samples, now)
	if len(g.samples) > samplesKept {
		g.samples = g.samples[1:]
	}
}

// perHour is by how many bytes an hour the use grew up to now, and since when that was watched; false
// while it was not watched long enough.
func (g *growth) perHour(now sample) (bytes float64, since time.Time, ok bool) {
	if len(g.samples) == 0 || now.at.Sub(g.samples[0].at) < sampleEvery {
		return 0, time.Time{}, false
	}
	first := g.samples[0]
	return (float64(now.used) - float64(first.used)) / now.at.Sub(first.at).Hours(), first.at, true
}

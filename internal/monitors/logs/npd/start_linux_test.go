package npd

import (
	"testing"
	"time"
)

func TestPluginsAreRunWhenTheirTimeComesAndNeverBesideThemselves(t *testing.T) {
	d := &Detector{states: map[string]*state{}, workers: 1}
	for _, name := range []string{"A", "B"} {
		d.plugins = append(d.plugins, &plugin{name: name, reason: name + "Failed", path: "/bin/sh", args: []string{"-c", "exit 1"}, every: time.Minute, timeout: time.Minute, output: 80})
	}
	at := noon
	now := func() time.Time { return at }
	settled := func(name string) bool {
		deadline := time.NewTimer(time.Minute)
		defer deadline.Stop()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-deadline.C:
				return false
			case <-tick.C:
				d.mu.Lock()
				idle := d.running == 0
				d.mu.Unlock()
				if idle && word(d, name, at) == Problem {
					return true
				}
			}
		}
	}
	d.Start(t.Context(), now)
	if !settled("A") || word(d, "B", at) == Problem {
		t.Fatalf("with one worker: %+v; want only the first to have run", d.States(at))
	}
	d.Start(t.Context(), now)
	if !settled("B") {
		t.Fatalf("the second did not run: %+v", d.States(at))
	}
	begun := d.plugins[0].begun
	at = noon.Add(30 * time.Second)
	d.Start(t.Context(), now)
	if !d.plugins[0].begun.Equal(begun) {
		t.Error("the first was run again before its time")
	}
	if got := word(d, "A", noon.Add(time.Hour)); got != OK {
		t.Errorf("an hour after it was last heard of: %q", got)
	}
}

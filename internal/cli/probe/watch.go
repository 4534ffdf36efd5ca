package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maek-dev/maek/internal/cli/exit"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/report"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// askEvery is how often probes are asked while they are watched.
	askEvery = 10 * time.Second
	// gatherFor is how long is waited for what belongs together: a kubelet's Event and the status that it
	// writes for the same reason come by different ways, and either may come first.
	gatherFor = 300 * time.Millisecond
	// entriesShown is how much of what happened a terminal shows.
	entriesShown = 15
	// clearScreen puts the cursor home and clears what is below, leaving the scrollback alone
	// (ECMA-48, 8.3.21 and 8.3.39).
	clearScreen = "\x1b[H\x1b[J"
)

// watching is what is known while somebody watches.
type watching struct {
	*looking

	evidence *evidence
	answers  map[key][]asked
	view     view
	timeline timeline
	verdict  verdict
	// listed are the kinds of which a first list has come, and refused how many cannot be watched.
	listed  map[reflect.Type]bool
	refused int
}

// watch shows what happens, as it happens, until it is interrupted: a terminal shows the newest state and the last
// of what happened, a file or a program gets the first state and then a line for each thing that happens.
func (l *looking) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watching{looking: l, timeline: timeline{runs: map[key]run{}}, listed: map[reflect.Type]bool{}}
	changes, err := l.reader.follow(ctx, l.target, l.inv.After)
	if err != nil {
		return plainly(err)
	}
	reading, read := context.WithTimeout(ctx, l.timeout)
	w.evidence, err = l.reader.read(reading, l.target)
	read()
	if err != nil {
		return plainly(err)
	}
	if err := l.known(w.evidence); err != nil {
		return err
	}
	answers := make(chan map[key][]asked, 1)
	ask := func() {
		e := w.evidence
		go func() {
			bounded, done := context.WithTimeout(ctx, l.timeout)
			defer done()
			answers <- l.ask(bounded, e)
		}()
	}
	ask()
	if !w.onTerminal() {
		// There the first state is the only one, and whatever happens after it is told.
		w.answers = <-answers
		if err := w.takeLists(ctx, changes); err != nil {
			return err
		}
	}
	again := l.inv.After(askEvery)
	for first := true; ; first = false {
		if err := w.draw(first); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return exit.With(code(w.verdict))
		case w.answers = <-answers:
			again = l.inv.After(askEvery)
		case <-again:
			ask()
		case c := <-changes:
			if err := w.takeAll(ctx, c, changes); err != nil {
				return err
			}
		}
	}
}

// takeLists waits until all that is watched has been listed once, or cannot be: what the rest is held against.
func (w *watching) takeLists(ctx context.Context, changes <-chan change) error {
	before, late := w.view, w.inv.After(w.timeout)
	for len(w.listed)+w.refused < kindsFollowed {
		select {
		case <-ctx.Done():
			return nil
		case <-late:
			return w.news(before)
		case c := <-changes:
			before = w.take(before, c)
		}
	}
	return w.news(before)
}

// takeAll takes in a change, and those that come with it.
func (w *watching) takeAll(ctx context.Context, c change, more <-chan change) error {
	before, gathered := w.take(w.view, c), w.inv.After(gatherFor)
	for {
		select {
		case c = <-more:
			before = w.take(before, c)
		case <-gathered:
			return w.news(before)
		case <-ctx.Done():
			return w.news(before)
		}
	}
}

// take takes a change in, and returns what it is held against. The first list of a kind is no news: it is what the rest
// is held against.
func (w *watching) take(before view, c change) view {
	if !c.missing.IsZero() {
		w.evidence.missing = append(slices.Clone(w.evidence.missing), c.missing)
		w.refused++
		return before
	}
	if kind := reflect.TypeOf(c.list); c.list != nil && !w.listed[kind] {
		w.listed[kind] = true
		before = before.with(c)
	}
	w.view = w.view.with(c)
	return before
}

// news tells what happened since an earlier view.
func (w *watching) news(before view) error {
	fresh := w.timeline.add(before, w.view, w.evidence.services, w.inv.Now())
	w.evidence = w.evidence.with(w.view)
	return w.tell(fresh)
}

// with is the evidence with what is watched now. What has not been listed yet stays as it was read.
func (e *evidence) with(v view) *evidence {
	next := *e
	if v.slices != nil {
		next.slices = slices.Collect(maps.Values(v.slices))
	}
	if v.events != nil {
		next.events = slices.SortedStableFunc(maps.Values(v.events), func(a, b *corev1.Event) int {
			return snapshot.EventTime(a).Compare(snapshot.EventTime(b))
		})
	}
	if v.pods == nil {
		return &next
	}
	next.pods = slices.SortedStableFunc(maps.Values(v.pods), worstFirst)
	next.more = max(0, len(next.pods)-podsShown)
	next.pods = next.pods[:min(podsShown, len(next.pods))]
	return &next
}

// onTerminal tells whether what is shown can be replaced.
func (w *watching) onTerminal() bool { return w.inv.OutTerminal && w.output == terminal }

// draw shows the state: on a terminal always, elsewhere the first.
func (w *watching) draw(first bool) error {
	doc := w.describe(w.evidence, w.answers).document()
	w.verdict = doc.Verdict
	if !first && !w.onTerminal() {
		return nil
	}
	options := w.inv.Report(*w.display)
	var err error
	switch {
	case w.output == asJSON:
		err = doc.printJSON(w.inv.Out)
	case w.onTerminal():
		if _, err = fmt.Fprint(w.inv.Out, clearScreen); err == nil {
			page := doc.page(options)
			page.Blank()
			entries := w.timeline.entries
			for _, e := range entries[max(0, len(entries)-entriesShown):] {
				w.put(page, e, options.Language)
			}
			err = page.Write(w.inv.Out)
		}
	default:
		err = doc.page(options).Write(w.inv.Out)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// put puts what happened on a page.
func (w *watching) put(page *report.Page, e entry, l finding.Language) {
	tone := report.Plain
	switch {
	case e.bad:
		tone = report.Bad
	case e.good:
		tone = report.Good
	}
	at := e.at.In(w.inv.Report(*w.display).Location).Format(time.TimeOnly)
	page.Labelled(0, len(at)+1, at, report.Faint, e.pod+": "+e.text.In(l), tone)
}

// tell tells what happened to those who see no terminal.
func (w *watching) tell(fresh []entry) error {
	if w.onTerminal() {
		return nil
	}
	options := w.inv.Report(*w.display)
	for _, e := range fresh {
		var err error
		if w.output == asJSON {
			err = json.NewEncoder(w.inv.Out).Encode(map[string]any{"time": e.at.UTC().Format(time.RFC3339), "pod": e.pod, "text": e.text.In(options.Language)})
		} else {
			page := report.NewPage(options)
			w.put(page, e, options.Language)
			err = page.Write(w.inv.Out)
		}
		if err != nil {
			return fmt.Errorf("writing what happened: %w", err)
		}
	}
	return nil
}

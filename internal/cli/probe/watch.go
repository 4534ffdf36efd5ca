package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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
	// listed are the kinds of which a first list has come; refused those that cannot be watched, and interrupted those
	// that could be and cannot be now, with what to say of them.
	listed               map[reflect.Type]bool
	refused, interrupted map[reflect.Type]finding.Text
	// blind tells that people were told of an interruption.
	blind bool
}

// asking is what a round of asking came to, and what was read around the pods meanwhile.
type asking struct {
	answers map[key][]asked
	around  *evidence
}

// watch shows what happens, as it happens, until it is interrupted: a terminal shows the newest state and the last
// of what happened, a file or a program gets the first state and then a line for each thing that happens.
func (l *looking) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &watching{
		looking: l, timeline: timeline{runs: map[key]run{}},
		listed: map[reflect.Type]bool{}, refused: map[reflect.Type]finding.Text{}, interrupted: map[reflect.Type]finding.Text{},
	}
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
	answers := make(chan asking, 1)
	// One round at a time: the next begins some time after the last has ended.
	ask := func(around func(context.Context, *evidence) *evidence) {
		e := w.evidence
		go func() {
			bounded, done := context.WithTimeout(ctx, l.timeout)
			defer done()
			e = around(bounded, e)
			answers <- asking{l.ask(bounded, e), e}
		}()
	}
	ask(func(_ context.Context, e *evidence) *evidence { return e })
	var again <-chan time.Time
	if !w.onTerminal() {
		// There the first state is the only one, and whatever happens after it is told.
		w.answers = (<-answers).answers
		again = l.inv.After(askEvery)
		if err := w.takeLists(ctx, changes); err != nil {
			return err
		}
	}
	for first := true; ; first = false {
		if err := w.draw(first); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return exit.With(code(w.verdict))
		case got := <-answers:
			w.answers, w.evidence = got.answers, w.evidence.within(got.around)
			again = l.inv.After(askEvery)
		case <-again:
			ask(l.reader.around)
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
	for !w.complete() {
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

// complete tells whether of every kind is known what there is, or that it cannot be watched.
func (w *watching) complete() bool {
	known := len(w.refused)
	for kind := range w.listed {
		if w.refused[kind].IsZero() {
			known++
		}
	}
	return known == kindsFollowed
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
// is held against. Nor is it news that something exists which was not listed, for there is more than is listed.
func (w *watching) take(before view, c change) view {
	switch {
	case !c.missing.IsZero():
		w.refused[c.kind] = c.missing
		return before
	case !c.interrupted.IsZero():
		w.interrupted[c.kind] = c.interrupted
		return before
	case c.list != nil && !w.listed[c.kind]:
		w.listed[c.kind] = true
		before = before.with(c)
	case c.altered && !w.view.has(c.object):
		before = before.with(c)
	}
	if c.list != nil {
		delete(w.interrupted, c.kind)
	}
	w.view = w.view.with(c)
	return before
}

// news tells what happened since an earlier view.
func (w *watching) news(before view) error {
	now := w.inv.Now()
	fresh := w.timeline.add(before, w.view, w.evidence.services, now)
	if why := sorted(w.interrupted); len(why) > 0 && !w.blind {
		w.blind = true
		fresh = append(fresh, w.timeline.note(entry{at: now, bad: true, text: finding.Join(": ", finding.Textf("what happens now is not seen; could not read", "지금 일어나는 일은 볼 수 없습니다. 읽지 못함"), why[0])}))
	}
	if w.blind && len(w.interrupted) == 0 {
		w.blind = false
		fresh = append(fresh, w.timeline.note(entry{at: now, good: true, text: finding.Textf("what happens is seen again", "다시 볼 수 있습니다")}))
	}
	w.evidence = w.evidence.with(w.view)
	return w.tell(fresh)
}

// within is the evidence with what was read around its pods since.
func (e *evidence) within(around *evidence) *evidence {
	next := *e
	next.services, next.nodes, next.metrics, next.missing = around.services, around.nodes, around.metrics, around.missing
	return &next
}

// seen is the evidence with what of it is not watched, or is not now.
func (w *watching) seen() *evidence {
	e := *w.evidence
	e.missing = slices.Concat(e.missing, sorted(w.refused), sorted(w.interrupted))
	return &e
}

// sorted are the texts by kind in an order that is always the same.
func sorted(byKind map[reflect.Type]finding.Text) []finding.Text {
	return slices.SortedFunc(maps.Values(byKind), func(a, b finding.Text) int { return strings.Compare(a.EN, b.EN) })
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
	d := w.describe(w.seen(), w.answers)
	d.rows = w.timeline.runs
	doc := d.document()
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
	text := e.text.In(l)
	if e.pod != "" {
		text = e.pod + ": " + text
	}
	page.Labelled(0, len(at)+1, at, report.Faint, text, tone)
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

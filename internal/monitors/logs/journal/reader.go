package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// Reader reads the entries of a journal that fit a query, from all its files in the order of time.
// Files are opened when their time comes. A file that cannot be read is left out and told by Err; the
// others are read on. It is not safe for concurrent use.
type Reader struct {
	journal *Journal
	query   Query
	want    map[string]bool
	sources []*source
	last    Cursor
	err     error // of listing the files
}

// source is a file that is read, was read, or will be.
type source struct {
	found

	header header
	opened *os.File
	walk   *walk
	done   bool // it was read to its end, and nobody writes to it
	err    error
}

// Read prepares to read what a query says. Close the reader. A machine without a journal is ErrNone.
func (j *Journal) Read(q Query) (*Reader, error) {
	r := &Reader{journal: j, query: q, want: q.wanted(), last: q.After}
	return r, r.Refresh()
}

// Refresh looks for entries and files that were written since. Only a reader that goes forwards has
// use for it.
func (r *Reader) Refresh() error {
	files, err := r.journal.list()
	if err != nil && len(files) == 0 {
		return err
	}
	r.err = err
	for _, s := range r.sources {
		if s.walk == nil {
			continue
		}
		if err := s.walk.refresh(r.behind(s)); err != nil {
			r.fail(s, err)
		}
	}
	var kept []*source
	for _, f := range files {
		i := slices.IndexFunc(r.sources, func(s *source) bool { return s.path != "" && os.SameFile(s.info, f.info) })
		if i >= 0 && (r.sources[i].walk != nil || r.sources[i].unchanged(f)) {
			r.sources[i].found = f
			kept = append(kept, r.sources[i])
			continue
		}
		if s := r.look(f); s != nil {
			kept = append(kept, s)
		}
	}
	// What was vacuumed while it is read is read to its end.
	for _, s := range r.sources {
		if s.walk != nil && !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	r.sources = kept
	return nil
}

func (s *source) unchanged(f found) bool {
	return s.info.Size() == f.info.Size() && s.info.ModTime().Equal(f.info.ModTime())
}

// look reads the header of a file; nil where it is gone.
func (r *Reader) look(f found) *source {
	s := &source{found: f}
	opened, err := monitor.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // vacuumed meanwhile
	}
	if err != nil {
		r.fail(s, err)
		return s
	}
	defer func() { _ = opened.Close() }()
	probe := file{raw: opened, pages: &pages{}}
	if err := probe.refresh(); err != nil {
		r.fail(s, err)
		return s
	}
	s.header = probe.header
	// A file that is unchanged and wholly read is not opened again.
	s.done = s.header.archived && r.isBehind(s)
	return s
}

// isBehind tells whether everything in a file was read already, or is too old.
func (r *Reader) isBehind(s *source) bool {
	h := s.header
	if h.entries == 0 || !r.query.Since.IsZero() && h.tailRealtime < microseconds(r.query.Since) {
		return true
	}
	if r.query.Backward || r.last.IsZero() {
		return false
	}
	if h.seqnumID == r.last.SeqnumID {
		return h.tailSeqnum <= r.last.Seqnum
	}
	return h.tailRealtime <= r.last.Realtime
}

// behind tells of an entry of a file whether it comes behind what was read.
func (r *Reader) behind(s *source) func(entryHead) bool {
	since, id := microseconds(r.query.Since), s.header.seqnumID
	if r.query.Since.IsZero() {
		since = 0
	}
	last := r.last
	return func(e entryHead) bool {
		if e.realtime < since {
			return false
		}
		if last.IsZero() {
			return true
		}
		if id == last.SeqnumID {
			return e.seqnum > last.Seqnum
		}
		return e.realtime > last.Realtime
	}
}

// Next returns the next entry; false where there is none now.
func (r *Reader) Next() (Entry, bool) {
	for {
		s, head, ok := r.first()
		if !ok {
			return Entry{}, false
		}
		at := Cursor{SeqnumID: s.header.seqnumID, Seqnum: head.seqnum, Boot: head.boot, Monotonic: head.monotonic, Realtime: head.realtime, Hash: head.hash}
		if r.query.Backward && !r.query.Since.IsZero() && head.realtime < microseconds(r.query.Since) {
			r.finish(s)
			continue
		}
		fields, err := s.walk.file.fields(head, r.want, r.query.limit())
		if err == nil {
			err = s.walk.skip()
		}
		if err != nil {
			r.fail(s, err)
			continue
		}
		r.last = at
		if r.query.wants(fields) {
			return Entry{Cursor: at, fields: fields}, true
		}
	}
}

// first finds the entry that comes next among all files.
func (r *Reader) first() (*source, entryHead, bool) {
	for {
		best, head, ok := r.firstOpen()
		next := r.nextClosed(best, head, ok)
		if next == nil {
			return best, head, ok
		}
		if err := r.open(next); err != nil {
			r.fail(next, err)
		}
	}
}

func (r *Reader) firstOpen() (best *source, head entryHead, ok bool) {
	for _, s := range r.sources {
		if s.walk == nil {
			continue
		}
		e, more, err := s.walk.peek()
		if err != nil {
			r.fail(s, err)
			continue
		}
		if !more {
			if s.header.archived || s.walk.file.archived || r.query.Backward {
				r.finish(s)
			}
			continue
		}
		if !ok || r.before(s, e, best, head) {
			best, head, ok = s, e, true
		}
	}
	return best, head, ok
}

// nextClosed is a file that must be opened before the best entry so far is given.
func (r *Reader) nextClosed(best *source, head entryHead, ok bool) *source {
	var next *source
	for _, s := range r.sources {
		if s.walk != nil || s.done || s.header.entries == 0 {
			continue
		}
		if next == nil || r.edge(s, next) < 0 {
			next = s
		}
	}
	if next == nil || !ok {
		return next
	}
	if r.query.Backward {
		if next.header.tailRealtime < head.realtime {
			return nil
		}
		return next
	}
	if next.header.headRealtime > head.realtime && (next.header.seqnumID != best.header.seqnumID || next.header.headSeqnum > head.seqnum) {
		return nil
	}
	return next
}

func (r *Reader) edge(a, b *source) int {
	if r.query.Backward {
		return cmp.Compare(b.header.tailRealtime, a.header.tailRealtime)
	}
	return cmp.Compare(a.header.headRealtime, b.header.headRealtime)
}

// before orders entries of two files as journald does: by number where the numbers are of one row,
// by the time since boot within a boot, else by the wall clock.
func (r *Reader) before(s *source, a entryHead, t *source, b entryHead) bool {
	var c int
	switch {
	case s.header.seqnumID == t.header.seqnumID:
		c = cmp.Compare(a.seqnum, b.seqnum)
	case a.boot == b.boot:
		c = cmp.Compare(a.monotonic, b.monotonic)
	default:
		c = cmp.Compare(a.realtime, b.realtime)
	}
	if r.query.Backward {
		return c > 0
	}
	return c < 0
}

func (r *Reader) open(s *source) error {
	opened, err := monitor.Open(s.path)
	if err != nil {
		s.done = true
		if errors.Is(err, fs.ErrNotExist) {
			return nil // vacuumed meanwhile
		}
		return err
	}
	s.opened = opened
	f, err := newFile(opened)
	if err != nil {
		return err
	}
	s.header = f.header
	if s.walk, err = newWalk(f, &r.query); err != nil {
		return err
	}
	return s.walk.seek(r.behind(s))
}

// finish closes a file that is read to its end.
func (r *Reader) finish(s *source) {
	if s.walk != nil {
		s.walk.file.unpacker.close()
		s.walk = nil
	}
	if s.opened != nil {
		_ = s.opened.Close()
		s.opened = nil
	}
	s.done = true
}

// fail leaves a file out from here on.
func (r *Reader) fail(s *source, err error) {
	s.err = fmt.Errorf("reading %s: %w", s.path, err)
	r.finish(s)
}

// Last is the cursor of the last entry that was looked at, fitting or not.
func (r *Reader) Last() Cursor { return r.last }

// Err says what could not be read. A file that is damaged or refused is told as long as it is there
// and does not change.
func (r *Reader) Err() error {
	errs := []error{r.err}
	for _, s := range r.sources {
		errs = append(errs, s.err)
	}
	return errors.Join(errs...)
}

// Close closes all files.
func (r *Reader) Close() {
	for _, s := range r.sources {
		r.finish(s)
	}
}

// Oldest is when the oldest entry that the journal still has was received; zero where it has none.
func (r *Reader) Oldest() time.Time {
	var oldest uint64
	for _, s := range r.sources {
		if s.header.entries > 0 && (oldest == 0 || s.header.headRealtime < oldest) {
			oldest = s.header.headRealtime
		}
	}
	return moment(oldest)
}

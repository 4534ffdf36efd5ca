package journal

// walk goes through the entries of one file that may fit a query, in one direction.
type walk struct {
	file  *file
	query *Query
	lists []*list // one for each of query.Any, nil where the file has no such entry; or one of all
	at    []int64 // the next index of each list
	ready bool    // head is the next entry
	head  entryHead
}

func newWalk(f *file, q *Query) (*walk, error) {
	w := &walk{file: f, query: q}
	if len(q.Any) == 0 {
		w.lists, w.at = []*list{f.all()}, []int64{0}
		return w, nil
	}
	w.lists, w.at = make([]*list, len(q.Any)), make([]int64, len(q.Any))
	return w, w.lookUp()
}

// lookUp finds the lists that are not known yet.
func (w *walk) lookUp() error {
	for i, m := range w.query.Any {
		if w.lists[i] != nil || len(m) == 0 {
			continue
		}
		l, err := w.file.having(m[0])
		if err != nil {
			return err
		}
		w.lists[i] = l
	}
	return nil
}

// seek puts every list before the first entry that satisfies ok, or, backwards, behind the last one
// of the file.
func (w *walk) seek(ok func(entryHead) bool) error {
	w.ready = false
	for i, l := range w.lists {
		if l == nil {
			continue
		}
		if w.query.Backward {
			w.at[i] = l.total - 1
			continue
		}
		at, err := l.find(ok)
		if err != nil {
			return err
		}
		w.at[i] = at
	}
	return nil
}

// peek returns the next entry's head; false at the end.
func (w *walk) peek() (entryHead, bool, error) {
	if w.ready {
		return w.head, true, nil
	}
	var best int64
	for i, l := range w.lists {
		if l == nil || w.at[i] < 0 || w.at[i] >= l.total {
			continue
		}
		offset, err := l.at(w.at[i])
		if err != nil {
			return entryHead{}, false, err
		}
		if offset == 0 {
			continue // the list was made longer, and not filled yet
		}
		if best == 0 || w.query.Backward == (offset > best) {
			best = offset
		}
	}
	if best == 0 {
		return entryHead{}, false, nil
	}
	head, err := w.file.entryAt(best)
	if err != nil {
		return entryHead{}, false, err
	}
	w.head, w.ready = head, true
	return head, true, nil
}

// skip goes on behind the entry that peek returned.
func (w *walk) skip() error {
	step := int64(1)
	if w.query.Backward {
		step = -1
	}
	for i, l := range w.lists {
		if l == nil || w.at[i] < 0 || w.at[i] >= l.total {
			continue
		}
		offset, err := l.at(w.at[i])
		if err != nil {
			return err
		}
		if offset == w.head.offset {
			w.at[i] += step
		}
	}
	w.ready = false
	return nil
}

// refresh takes in what was written since. It is for walking forwards.
func (w *walk) refresh(ok func(entryHead) bool) error {
	before := w.file.entries
	if err := w.file.refresh(); err != nil {
		return err
	}
	if w.file.entries == before {
		return nil
	}
	known := make([]bool, len(w.lists))
	for i, l := range w.lists {
		if known[i] = l != nil; known[i] {
			if err := l.refresh(); err != nil {
				return err
			}
		}
	}
	if len(w.query.Any) == 0 {
		return nil
	}
	if err := w.lookUp(); err != nil {
		return err
	}
	for i, l := range w.lists {
		if l == nil || known[i] {
			continue
		}
		at, err := l.find(ok)
		if err != nil {
			return err
		}
		w.at[i] = at
	}
	return nil
}

package journal

import (
	"fmt"
	"slices"
)

// list is a list of entries of a file, in the order in which they were written: all of them, or those
// that have a certain field. Its arrays grow exponentially, so that few of them hold it.
type list struct {
	file   *file
	data   int64 // the data object whose entries these are; 0 where they are all of the file
	first  int64 // the offset of the entry before the arrays; 0 where there is none
	total  int64
	next   int64 // the offset of the first array that is not among spans
	spans  []span
	length int64 // how many entries first and spans have room for
}

type span struct {
	offset, start, n int64
}

// all is the list of all entries of a file.
func (f *file) all() *list {
	return &list{file: f, total: f.entries, next: f.entryArray}
}

// refresh takes in that the file has grown.
func (l *list) refresh() error {
	if l.data == 0 {
		l.total = l.file.entries
		if len(l.spans) == 0 {
			l.next = l.file.entryArray
		}
		return nil
	}
	now, err := l.file.entriesOf(l.data)
	if err != nil {
		return err
	}
	l.total = now.total
	if len(l.spans) == 0 {
		l.next = now.next
	}
	return nil
}

// at returns the offset of the i-th entry.
func (l *list) at(i int64) (int64, error) {
	if l.first > 0 && l.length == 0 {
		l.length = 1
	}
	if i == 0 && l.first > 0 {
		return l.first, nil
	}
	for i >= l.length {
		if err := l.grow(); err != nil {
			return 0, err
		}
	}
	for _, s := range slices.Backward(l.spans) {
		if i >= s.start {
			return l.file.pages.number(s.offset+arrayHeader+(i-s.start)*l.file.offsetSize, l.file.offsetSize)
		}
	}
	return 0, fmt.Errorf("%w: a list of entries is damaged", ErrFormat)
}

func (l *list) grow() error {
	offset := l.next
	if offset == 0 && len(l.spans) > 0 {
		// The chain ended here when it was read; it may have grown since.
		var err error
		if offset, err = l.file.pages.number(l.spans[len(l.spans)-1].offset+objectHeader, 8); err != nil {
			return err
		}
	}
	if offset == 0 || len(l.spans) > 0 && offset <= l.spans[len(l.spans)-1].offset {
		return fmt.Errorf("%w: a list of entries is damaged", ErrFormat)
	}
	b, size, err := l.file.object(offset, objectEntryArray, arrayHeader)
	if err != nil {
		return err
	}
	next, err := toOffset(b[objectHeader:arrayHeader])
	if err != nil {
		return err
	}
	n := (size - arrayHeader) / l.file.offsetSize
	if n == 0 {
		return fmt.Errorf("%w: a list of entries is damaged", ErrFormat)
	}
	l.spans = append(l.spans, span{offset: offset, start: l.length, n: n})
	l.length, l.next = l.length+n, next
	return nil
}

// head reads the i-th entry.
func (l *list) head(i int64) (entryHead, error) {
	offset, err := l.at(i)
	if err != nil {
		return entryHead{}, err
	}
	return l.file.entryAt(offset)
}

// find returns the first index whose entry satisfies ok; entries that do are behind those that do not.
func (l *list) find(ok func(entryHead) bool) (int64, error) {
	low, high := int64(0), l.total
	for low < high {
		middle := low + (high-low)/2
		e, err := l.head(middle)
		if err != nil {
			return 0, err
		}
		if ok(e) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

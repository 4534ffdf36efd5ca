package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
)

// Boot is a boot of the machine, as far as the journal reaches back.
type Boot struct {
	// ID of the boot, as in /proc/sys/kernel/random/boot_id.
	ID ID
	// First and Last are when its first and last entries were received.
	First, Last time.Time
	// End is the last entry's cursor.
	End Cursor
}

// Boots lists the boots that the journal has entries of, oldest first. It looks at no entry but the
// first and last of each boot and file. An error says what could not be read; a machine without a
// journal is ErrNone.
func (j *Journal) Boots() ([]Boot, error) {
	files, err := j.list()
	if err != nil && len(files) == 0 {
		return nil, err
	}
	boots := map[ID]*Boot{}
	errs := []error{err}
	for _, f := range files {
		if err := bootsOf(f.path, boots); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("reading %s: %w", f.path, err))
		}
	}
	out := make([]Boot, 0, len(boots))
	for _, b := range boots {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b Boot) int { return a.First.Compare(b.First) })
	return out, errors.Join(errs...)
}

func bootsOf(path string, boots map[ID]*Boot) error {
	opened, err := monitor.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }()
	f, err := newFile(opened)
	if err != nil {
		return err
	}
	defer f.unpacker.close()
	return f.values("_BOOT_ID", func(offset int64, value string) (bool, error) {
		id, err := ParseID(value)
		if err != nil {
			return true, nil //nolint:nilerr // a value that is no boot's name tells of no boot
		}
		l, err := f.entriesOf(offset)
		if err != nil || l.total == 0 {
			return true, err
		}
		first, err := l.head(0)
		if err != nil {
			return false, err
		}
		last, err := l.head(l.total - 1)
		if err != nil {
			return false, err
		}
		f.addBoot(boots, id, first, last)
		return true, nil
	})
}

func (f *file) addBoot(boots map[ID]*Boot, id ID, first, last entryHead) {
	b, ok := boots[id]
	if !ok {
		b = &Boot{ID: id}
		boots[id] = b
	}
	if at := moment(first.realtime); b.First.IsZero() || at.Before(b.First) {
		b.First = at
	}
	if at := moment(last.realtime); !at.Before(b.Last) {
		b.Last = at
		b.End = Cursor{SeqnumID: f.seqnumID, Seqnum: last.seqnum, Boot: last.boot, Monotonic: last.monotonic, Realtime: last.realtime, Hash: last.hash}
	}
}

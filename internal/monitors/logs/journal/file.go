package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of what is kept of one file.
const (
	// maxShared is how many values that entries share are remembered.
	maxShared = 2048
	// maxSharedValue is how long such a value may be.
	maxSharedValue = 256
	// maxEntryBytes is how much of all values of one entry is read.
	maxEntryBytes = 1 << 20
)

// Field is a name and a value of an entry, such as PRIORITY and 3.
type Field struct {
	Name, Value string
}

// file is one open file of a journal. It is not safe for concurrent use.
type file struct {
	header
	pages    *pages
	raw      io.ReaderAt
	unpacker *unpacker
	shared   map[int64]Field
	offsets  []int64
}

func newFile(raw io.ReaderAt) (*file, error) {
	f := &file{raw: raw, pages: newPages(raw), unpacker: &unpacker{}, shared: map[int64]Field{}}
	return f, f.refresh()
}

// refresh reads the header again, and forgets what may have changed.
func (f *file) refresh() error {
	var b [272]byte
	n, err := f.raw.ReadAt(b[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("reading the header: %w", err)
	case n == 0:
		return fmt.Errorf("%w: it is empty", ErrFormat)
	case n < minHeader:
		return fmt.Errorf("%w: it is cut short", ErrFormat)
	}
	h, err := parseHeader(b[:n])
	if err != nil {
		return err
	}
	if h.entries != f.entries || h.tailSeqnum != f.tailSeqnum {
		f.pages.forget()
	}
	f.header = h
	return nil
}

// object returns the beginning of an object of a type, at least n bytes of it, and its whole length.
func (f *file) object(offset int64, kind byte, n int64) ([]byte, int64, error) {
	if offset < minHeader || offset%8 != 0 {
		return nil, 0, fmt.Errorf("%w: an object's offset is damaged", ErrFormat)
	}
	b, err := f.pages.at(offset, n)
	if err != nil {
		return nil, 0, err
	}
	size := binary.LittleEndian.Uint64(b[8:])
	if b[0] != kind || size < uint64(n) || size > maxObject { //nolint:gosec // n is a header's length
		return nil, 0, fmt.Errorf("%w: an object is damaged", ErrFormat)
	}
	return b, int64(size), nil
}

// entryHead is what an entry says itself, without its fields.
type entryHead struct {
	seqnum, realtime, monotonic, hash uint64
	boot                              ID
	offset, size                      int64
}

func (f *file) entryAt(offset int64) (entryHead, error) {
	b, size, err := f.object(offset, objectEntry, entryHeader)
	if err != nil {
		return entryHead{}, err
	}
	le := binary.LittleEndian
	return entryHead{
		seqnum: le.Uint64(b[16:]), realtime: le.Uint64(b[24:]), monotonic: le.Uint64(b[32:]),
		boot: ID(b[40:56]), hash: le.Uint64(b[56:]), offset: offset, size: size,
	}, nil
}

// fields reads the wanted fields of an entry; nil wants all. Values are cut to limit bytes.
func (f *file) fields(e entryHead, want map[string]bool, limit int64) ([]Field, error) {
	n := (e.size - entryHeader) / f.item
	if n > maxEntryFields {
		return nil, fmt.Errorf("%w: an entry has %d fields", ErrFormat, n)
	}
	b, err := f.pages.at(e.offset+entryHeader, n*f.item)
	if err != nil {
		return nil, err
	}
	f.offsets = f.offsets[:0]
	for i := range n {
		offset, err := toOffset(b[i*f.item : i*f.item+f.offsetSize])
		if err != nil {
			return nil, err
		}
		f.offsets = append(f.offsets, offset)
	}
	out, budget := make([]Field, 0, min(len(want)+1, len(f.offsets))), int64(maxEntryBytes)
	for _, offset := range f.offsets {
		field, err := f.data(offset, want, min(limit, budget))
		if err != nil {
			return nil, err
		}
		if field.Name != "" {
			out = append(out, field)
			budget -= int64(len(field.Value))
		}
	}
	return out, nil
}

// data reads a data object. The name is empty where it is not wanted.
func (f *file) data(offset int64, want map[string]bool, limit int64) (Field, error) {
	if field, ok := f.shared[offset]; ok {
		if want != nil && !want[field.Name] {
			return Field{}, nil
		}
		return field, nil
	}
	b, size, err := f.object(offset, objectData, f.dataPayload)
	if err != nil {
		return Field{}, err
	}
	packed, uses := b[1]&(compressedXZ|compressedLZ4|compressedZstd), binary.LittleEndian.Uint64(b[56:])
	text, err := f.payload(offset, size, packed, maxName+1)
	if err != nil {
		return Field{}, err
	}
	at := bytes.IndexByte(text, '=')
	if at <= 0 {
		return Field{}, nil // not a field: journald writes none such
	}
	name := string(text[:at])
	wanted := want == nil || want[name]
	// Of a value that is not wanted now the name is worth remembering, but not in place of the value.
	if !wanted && (uses < 2 || packed != 0 || size > f.dataPayload+maxSharedValue) {
		return Field{}, nil
	}
	text, err = f.payload(offset, size, packed, int64(at)+1+limit)
	if err != nil {
		return Field{}, err
	}
	if len(text) < at+1 {
		return Field{}, fmt.Errorf("%w: compressed data is damaged", ErrFormat)
	}
	field := Field{Name: name, Value: string(text[at+1:])}
	if uses > 1 && len(field.Value) <= maxSharedValue && int64(len(field.Value)) < limit {
		if len(f.shared) >= maxShared {
			clear(f.shared)
		}
		f.shared[offset] = field
	}
	if !wanted {
		return Field{}, nil
	}
	return field, nil
}

// payload returns up to limit bytes of a data object's content. They are valid until the next read.
func (f *file) payload(offset, size int64, packed byte, limit int64) ([]byte, error) {
	from, length := offset+f.dataPayload, size-f.dataPayload
	if packed == 0 {
		return f.pages.at(from, min(length, limit))
	}
	return f.unpacker.unpack(packed, io.NewSectionReader(f.raw, from, length), length, limit)
}

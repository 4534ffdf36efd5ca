package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxValues bounds how many values of one field are looked through: more than there are units and
// boots, fewer than there are different messages.
const maxValues = 1 << 16

var errManyValues = errors.New("a field has too many values to look through")

// values walks the data objects of a field, newest first, until visit says false. It needs no hash
// function: the field's object begins a chain of all its values.
func (f *file) values(name string, visit func(offset int64, value string) (bool, error)) error {
	offset, err := f.fieldObject(name)
	if err != nil || offset == 0 {
		return err
	}
	b, _, err := f.object(offset, objectField, fieldHeader)
	if err != nil {
		return err
	}
	at, err := toOffset(b[32:40])
	if err != nil {
		return err
	}
	want := map[string]bool{name: true}
	for range maxValues {
		if at == 0 {
			return nil
		}
		field, err := f.data(at, want, maxSharedValue)
		if err != nil {
			return err
		}
		if more, err := visit(at, field.Value); !more || err != nil {
			return err
		}
		next, err := f.pages.number(at+32, 8)
		if err != nil {
			return err
		}
		if next >= at {
			return fmt.Errorf("%w: the values of %s are damaged", ErrFormat, name)
		}
		at = next
	}
	return errManyValues
}

// fieldObject finds the object of a field by its name; 0 where no entry has it. There are few
// fields, so that all are looked at.
func (f *file) fieldObject(name string) (int64, error) {
	for bucket := range f.fieldTableSize / hashBucket {
		at, err := f.pages.number(f.fieldTable+bucket*hashBucket, 8)
		if err != nil {
			return 0, err
		}
		for at != 0 {
			b, size, err := f.object(at, objectField, fieldHeader)
			if err != nil {
				return 0, err
			}
			next, err := toOffset(b[24:32])
			if err != nil {
				return 0, err
			}
			if size-fieldHeader == int64(len(name)) {
				b, err := f.pages.at(at+fieldHeader, int64(len(name)))
				if err != nil {
					return 0, err
				}
				if string(b) == name {
					return at, nil
				}
			}
			if next != 0 && next <= at {
				return 0, fmt.Errorf("%w: the fields are damaged", ErrFormat)
			}
			at = next
		}
	}
	return 0, nil
}

// having returns the list of entries that have a field; nil where none has.
func (f *file) having(want Field) (*list, error) {
	var found *list
	err := f.values(want.Name, func(offset int64, value string) (bool, error) {
		if value != want.Value {
			return true, nil
		}
		l, err := f.entriesOf(offset)
		found = l
		return false, err
	})
	return found, err
}

// entriesOf is the list of entries that have a data object.
func (f *file) entriesOf(data int64) (*list, error) {
	b, _, err := f.object(data, objectData, dataHeader)
	if err != nil {
		return nil, err
	}
	first, err := toOffset(b[40:48])
	if err != nil {
		return nil, err
	}
	next, err := toOffset(b[48:56])
	if err != nil {
		return nil, err
	}
	total := binary.LittleEndian.Uint64(b[56:64])
	if first == 0 && total > 0 || total > maxObject {
		return nil, fmt.Errorf("%w: a list of entries is damaged", ErrFormat)
	}
	return &list{file: f, data: data, first: first, next: next, total: int64(total)}, nil
}

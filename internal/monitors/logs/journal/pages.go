package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// pageSize and pageCount bound what is kept of a file: a quarter of a megabyte.
const (
	pageSize  = 16 << 10
	pageCount = 16
)

// pages reads a file in pages and keeps the last used ones: the objects of an entry mostly lie
// beside it, the ones that entries share far before.
type pages struct {
	file io.ReaderAt
	kept [pageCount]page
	byNo map[int64]int
	tick int64
	wide []byte
}

type page struct {
	no, used int64
	data     []byte
}

func newPages(file io.ReaderAt) *pages {
	return &pages{file: file, byNo: make(map[int64]int, pageCount)}
}

// forget drops what was kept, because the file has grown.
func (p *pages) forget() {
	clear(p.byNo)
	for i := range p.kept {
		p.kept[i].used = 0
	}
}

// at returns n bytes from an offset. They are valid until the next call. Bytes beyond the end of the
// file are a format error: nothing that is used may point there.
func (p *pages) at(offset, n int64) ([]byte, error) {
	if offset < 0 || n < 0 || n > pageSize*pageCount {
		return nil, fmt.Errorf("%w: an offset or length is damaged", ErrFormat)
	}
	no, from := offset/pageSize, offset%pageSize
	if from+n <= pageSize {
		data, err := p.page(no)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) < from+n {
			return nil, fmt.Errorf("%w: it is cut short", ErrFormat)
		}
		return data[from : from+n], nil
	}
	p.wide = p.wide[:0]
	for int64(len(p.wide)) < n {
		data, err := p.page(no)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) <= from {
			return nil, fmt.Errorf("%w: it is cut short", ErrFormat)
		}
		p.wide = append(p.wide, data[from:]...)
		no, from = no+1, 0
	}
	return p.wide[:n], nil
}

// number reads a little-endian number of 4 or 8 bytes. What is no possible offset is a format error.
func (p *pages) number(offset, size int64) (int64, error) {
	b, err := p.at(offset, size)
	if err != nil {
		return 0, err
	}
	return toOffset(b)
}

func toOffset(b []byte) (int64, error) {
	if len(b) == 4 {
		return int64(binary.LittleEndian.Uint32(b)), nil
	}
	v := binary.LittleEndian.Uint64(b)
	if v > maxObject {
		return 0, fmt.Errorf("%w: an offset is damaged", ErrFormat)
	}
	return int64(v), nil
}

func (p *pages) page(no int64) ([]byte, error) {
	p.tick++
	if i, ok := p.byNo[no]; ok {
		p.kept[i].used = p.tick
		return p.kept[i].data, nil
	}
	oldest := 0
	for i := range p.kept {
		if p.kept[i].used < p.kept[oldest].used {
			oldest = i
		}
	}
	k := &p.kept[oldest]
	if k.used > 0 {
		delete(p.byNo, k.no)
	}
	if cap(k.data) == 0 {
		k.data = make([]byte, pageSize)
	}
	k.used = 0
	n, err := p.file.ReadAt(k.data[:pageSize], no*pageSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a journal file: %w", err)
	}
	k.no, k.used, k.data = no, p.tick, k.data[:n]
	p.byNo[no] = oldest
	return k.data, nil
}

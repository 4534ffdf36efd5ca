package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// Flags of an object (journal-def.h, OBJECT_COMPRESSED_*).
const (
	compressedXZ   = 1 << 0
	compressedLZ4  = 1 << 1
	compressedZstd = 1 << 2
)

// maxName bounds the name of a field (journald refuses longer ones than 64 bytes).
const maxName = 64

// maxPacked bounds compressed data that is unpacked as a whole.
const maxPacked = 1 << 20

// maxDictionary is the XZ dictionary of 8 MiB, as journald's preset asks for: a file that wants more
// is not let to take the memory.
const maxDictionary = 22

// unpacker decompresses the beginning of data objects. It is not safe for concurrent use.
type unpacker struct {
	zstd *zstd.Decoder
	out  []byte
}

// unpack returns up to limit bytes of what was compressed. They are valid until the next call.
func (u *unpacker) unpack(flags byte, packed io.Reader, size, limit int64) ([]byte, error) {
	switch {
	case flags&compressedZstd != 0:
		if u.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
			if err != nil {
				return nil, fmt.Errorf("preparing to decompress: %w", err)
			}
			u.zstd = d
		}
		if err := u.zstd.Reset(packed); err != nil {
			return nil, fmt.Errorf("%w: compressed data is damaged: %w", ErrFormat, err)
		}
		return u.read(u.zstd, limit)
	case flags&compressedLZ4 != 0:
		return u.unpackLZ4(packed, size, limit)
	default:
		head := make([]byte, 17)
		if _, err := io.ReadFull(packed, head); err != nil || head[13]&0xc0 != 0 || head[14] != 0x21 || head[16] > maxDictionary {
			return nil, fmt.Errorf("%w: compressed data is damaged", ErrFormat)
		}
		r, err := xz.ReaderConfig{DictCap: 1 << 12, SingleStream: true}.NewReader(io.MultiReader(bytes.NewReader(head), packed))
		if err != nil {
			return nil, fmt.Errorf("%w: compressed data is damaged: %w", ErrFormat, err)
		}
		return u.read(r, limit)
	}
}

// unpackLZ4 knows LZ4 as journald writes it: the length, then one block.
func (u *unpacker) unpackLZ4(packed io.Reader, size, limit int64) ([]byte, error) {
	if size < 8 || size > maxPacked {
		return nil, fmt.Errorf("%w: compressed data is damaged or too long", ErrFormat)
	}
	block := make([]byte, size)
	if _, err := io.ReadFull(packed, block); err != nil {
		return nil, fmt.Errorf("%w: it is cut short", ErrFormat)
	}
	length := binary.LittleEndian.Uint64(block)
	if length > maxPacked {
		return nil, fmt.Errorf("%w: compressed data is damaged or too long", ErrFormat)
	}
	if uint64(cap(u.out)) < length {
		u.out = make([]byte, length)
	}
	n, err := lz4.UncompressBlock(block[8:], u.out[:length])
	if err != nil {
		return nil, fmt.Errorf("%w: compressed data is damaged: %w", ErrFormat, err)
	}
	return u.out[:min(int64(n), limit)], nil
}

func (u *unpacker) read(r io.Reader, limit int64) ([]byte, error) {
	if int64(cap(u.out)) < limit {
		u.out = make([]byte, limit)
	}
	n, err := io.ReadFull(r, u.out[:limit])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: compressed data is damaged: %w", ErrFormat, err)
	}
	return u.out[:n], nil
}

func (u *unpacker) close() {
	if u.zstd != nil {
		u.zstd.Close()
	}
}

package journal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrFormat is what a file is refused with that is no journal, is damaged, or was written in a way
// that this package does not know.
var ErrFormat = errors.New("not a journal file that can be read")

// Incompatible flags of a file's header (journal-def.h, HEADER_INCOMPATIBLE_*).
const (
	flagXZ      = 1 << 0
	flagLZ4     = 1 << 1
	flagKeyed   = 1 << 2
	flagZstd    = 1 << 3
	flagCompact = 1 << 4
	knownFlags  = flagXZ | flagLZ4 | flagKeyed | flagZstd | flagCompact
)

// stateArchived is the state of a file that nobody writes to any more (journal-def.h, STATE_ARCHIVED).
const stateArchived = 2

// Types of objects (journal-def.h, ObjectType).
const (
	objectData       = 1
	objectField      = 2
	objectEntry      = 3
	objectEntryArray = 6
)

// Sizes and places in a file, in bytes.
const (
	// minHeader is the header of systemd 186, before n_data was added.
	minHeader      = 208
	objectHeader   = 16
	entryHeader    = 64
	arrayHeader    = 24
	fieldHeader    = 40
	dataHeader     = 64
	compactHeader  = 72
	hashBucket     = 16
	maxObject      = math.MaxInt64 / 2
	maxEntryFields = 1024
)

var signature = [8]byte{'L', 'P', 'K', 'S', 'H', 'H', 'R', 'H'}

// ID is one of the journal's 128-bit names: of a boot, a machine, a file, a row of sequence numbers.
type ID [16]byte

// String is the ID as systemd writes it: 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID reads 32 hexadecimal digits, with or without the dashes of a UUID.
func ParseID(s string) (ID, error) {
	var id ID
	digits := make([]byte, 0, 2*len(id))
	for _, c := range []byte(s) {
		if c != '-' {
			digits = append(digits, c)
		}
	}
	if len(digits) != 2*len(id) {
		return ID{}, fmt.Errorf("%q has not 32 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], digits); err != nil {
		return ID{}, fmt.Errorf("%q: %w", s, err)
	}
	return id, nil
}

// header is what a file says about itself, as far as it is used.
type header struct {
	flags                         uint32
	archived                      bool
	fileID, seqnumID, tailBoot    ID
	fieldTable, fieldTableSize    int64
	entryArray, entries           int64
	headSeqnum, tailSeqnum        uint64
	headRealtime, tailRealtime    uint64
	compact                       bool
	dataPayload, offsetSize, item int64
}

func parseHeader(b []byte) (header, error) {
	if len(b) < minHeader || [8]byte(b) != signature {
		return header{}, fmt.Errorf("%w: it does not begin as one", ErrFormat)
	}
	le := binary.LittleEndian
	h := header{
		flags:      le.Uint32(b[12:]),
		archived:   b[16] == stateArchived,
		fileID:     ID(b[24:40]),
		tailBoot:   ID(b[56:72]),
		seqnumID:   ID(b[72:88]),
		tailSeqnum: le.Uint64(b[160:]), headSeqnum: le.Uint64(b[168:]),
		headRealtime: le.Uint64(b[184:]), tailRealtime: le.Uint64(b[192:]),
	}
	if unknown := h.flags &^ knownFlags; unknown != 0 {
		return header{}, fmt.Errorf("%w: a newer systemd wrote it (incompatible flags %#x)", ErrFormat, unknown)
	}
	h.compact = h.flags&flagCompact != 0
	h.dataPayload, h.offsetSize, h.item = dataHeader, 8, 16
	if h.compact {
		h.dataPayload, h.offsetSize, h.item = compactHeader, 4, 4
	}
	for _, f := range []struct {
		to *int64
		at int
	}{{&h.fieldTable, 120}, {&h.fieldTableSize, 128}, {&h.entries, 152}, {&h.entryArray, 176}} {
		v := le.Uint64(b[f.at:])
		if v > maxObject {
			return header{}, fmt.Errorf("%w: its header is damaged", ErrFormat)
		}
		*f.to = int64(v)
	}
	return h, nil
}

// moment is a count of microseconds since 1970 as a time. A count that no clock shows is the zero time.
func moment(microseconds uint64) time.Time {
	if microseconds == 0 || microseconds > math.MaxInt64/1000 {
		return time.Time{}
	}
	return time.UnixMicro(int64(microseconds)).UTC()
}

// microseconds is the inverse of moment; times before 1970 are 0.
func microseconds(t time.Time) uint64 {
	return uint64(max(0, t.UnixMicro()))
}

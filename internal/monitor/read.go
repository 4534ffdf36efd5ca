package monitor

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/snapshot"
)

// readUpTo reads a file of at most limit bytes. Files of /proc and /sys say no size beforehand.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s: it is longer than %d bytes", path, limit)
	}
	return data, nil
}

// Int makes evidence of a whole number.
func Int[N int | int32 | int64 | uint32 | uint64](key snapshot.EvidenceKey, n N) snapshot.MachineEvidence {
	return Value(key, fmt.Sprint(n))
}

// Float makes evidence of a number, as short as it can be written.
func Float(key snapshot.EvidenceKey, f float64) snapshot.MachineEvidence {
	return Value(key, strconv.FormatFloat(f, 'f', -1, 64))
}

// Bool makes evidence of a truth.
func Bool(key snapshot.EvidenceKey, b bool) snapshot.MachineEvidence {
	return Value(key, strconv.FormatBool(b))
}

// Moment makes evidence of a moment.
func Moment(key snapshot.EvidenceKey, at time.Time) snapshot.MachineEvidence {
	return Value(key, at.UTC().Format(time.RFC3339Nano))
}

// Since tells when evidence came to be so; a zero time tells nothing.
func Since(e snapshot.MachineEvidence, at time.Time) snapshot.MachineEvidence {
	if !at.IsZero() {
		e.At = new(metav1.NewTime(at.UTC()))
	}
	return e
}

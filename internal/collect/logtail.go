package collect

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/maek-dev/maek/internal/secret"
)

// The bounds of a ContainerLog answer.
const (
	// LogLines is the number of lines, counted from the end, that an answer holds at most. A stack
	// trace of the usual depth fits.
	LogLines = 20
	// LogBytes is the size of an answer at most.
	LogBytes = AnswerBytes
)

// LogTail reads a container's log to its end and returns its last lines as the text of an answer:
// at most LogLines lines and LogBytes bytes, valid UTF-8, with what looks like a credential blotted
// out. It holds no more than some LogBytes of the log at a time. On an error it returns what it read.
func LogTail(r io.Reader) (string, error) { return Tail(r, LogLines, LogBytes) }

// Tail is LogTail with other bounds.
func Tail(r io.Reader, lines, limit int) (string, error) {
	tail, err := lastLines(r, lines, limit)
	text := secret.Redact(validUTF8(tail))
	if len(text) > limit {
		// What stands for a stray byte or a credential can be longer than that was.
		text = validUTF8([]byte(text[len(text)-limit:]))
	}
	return text, err
}

// lastLines returns the last lines of r, without the newline at the very end. The first line of the
// result is cut at its front where the lines together are longer than limit.
func lastLines(r io.Reader, lines, limit int) ([]byte, error) {
	var tail []byte
	buf := bufio.NewReaderSize(r, limit)
	for {
		chunk, err := buf.ReadSlice('\n')
		tail = append(tail, chunk...)
		if len(tail) > 2*limit {
			tail = append(tail[:0], tail[len(tail)-limit-1:]...)
		}
		if err == nil || errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return lastOf(tail, lines, limit), err
	}
}

func lastOf(tail []byte, lines, limit int) []byte {
	tail = bytes.TrimRight(tail, "\r\n")
	from := len(tail)
	for range lines {
		from = bytes.LastIndexByte(tail[:max(from, 0)], '\n')
		if from < 0 {
			break
		}
	}
	tail = tail[from+1:]
	if len(tail) > limit {
		tail = tail[len(tail)-limit:]
	}
	return tail
}

// validUTF8 replaces what is no UTF-8. A tail that was cut inside a character loses its rest.
func validUTF8(b []byte) string {
	for n := 0; n < utf8.UTFMax && len(b) > 0 && !utf8.RuneStart(b[0]); n++ {
		b = b[1:]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

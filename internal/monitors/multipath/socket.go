package multipath

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// answerLimit bounds multipathd's answer: a map with eight paths takes some 5 KiB.
const answerLimit = 4 << 20

// command sends a command to multipathd. Both sides write the length, in the machine's own byte order and
// with the ending zero byte, and then the text (libmpathcmd/mpath_cmd.c).
func (w *watch) command(ctx context.Context, text string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	conn, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("setting a deadline: %w", err)
		}
	}
	request := binary.NativeEndian.AppendUint64(nil, uint64(len(text)+1))
	if _, err := conn.Write(append(append(request, text...), 0)); err != nil {
		return nil, fmt.Errorf("sending a command: %w", err)
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, fmt.Errorf("reading the length of the answer: %w", err)
	}
	length := binary.NativeEndian.Uint64(head[:])
	if length == 0 || length > answerLimit {
		return nil, fmt.Errorf("an answer of %d bytes is none of multipathd's", length)
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return bytes.TrimRight(answer, "\x00\n"), nil
}

// dial connects to either socket.
func (w *watch) dial(ctx context.Context) (net.Conn, error) {
	var dialer net.Dialer
	abstract, err := dialer.DialContext(ctx, "unix", w.abstract)
	if err == nil {
		return abstract, nil
	}
	reached, pathErr := w.host.Path(w.socket)
	if pathErr != nil {
		return nil, errors.Join(err, pathErr)
	}
	conn, second := dialer.DialContext(ctx, "unix", strings.TrimSuffix(reached, "/"))
	if second != nil {
		return nil, errors.Join(err, second)
	}
	return conn, nil
}

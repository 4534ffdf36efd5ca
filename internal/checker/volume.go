package checker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// mostRead bounds what is read of a file that should hold a few words.
const mostRead = 64 << 10

// write puts a text into a file, and has the file system put it onto the volume.
func (o Options) write(name, text string) int {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) //nolint:gosec // whoever reads may run as somebody else
	if err == nil {
		_, err = file.WriteString(text + "\n")
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		return o.lastWords(fmt.Sprintf("writing %s: %v", name, err))
	}
	fmt.Fprintf(o.Stdout, "wrote %s\n", name)
	return ExitOK
}

// read tells whether a file holds a text and nothing else.
func (o Options) read(name, text string) int {
	file, err := os.Open(name)
	if err != nil {
		return o.lastWords(fmt.Sprintf("reading %s: %v", name, err))
	}
	content, err := io.ReadAll(io.LimitReader(file, mostRead))
	if err = errors.Join(err, file.Close()); err != nil {
		return o.lastWords(fmt.Sprintf("reading %s: %v", name, err))
	}
	if got := strings.TrimSuffix(string(content), "\n"); got != text {
		return o.lastWords(fmt.Sprintf("%s holds %q, and %q was written to it", name, got, text))
	}
	fmt.Fprintf(o.Stdout, "read %s\n", name)
	return ExitOK
}

// lastWords leaves why something failed where the kubelet reads it.
func (o Options) lastWords(text string) int {
	o.Log.Error(text)
	file, err := os.OpenFile(o.TerminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return ExitFailed // There is none outside of a pod, and the log has it.
	}
	if _, err := file.WriteString(text); err != nil {
		o.Log.Warn("the termination message could not be left", "error", err)
	}
	if err := file.Close(); err != nil {
		o.Log.Warn("the termination message could not be left", "error", err)
	}
	return ExitFailed
}

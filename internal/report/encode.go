package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/snapshot"
)

// JSON writes a document as indented JSON. Control characters that JSON allows within strings are
// escaped all the same, so that the output can also be looked at on a terminal.
func JSON[D v1alpha1.Diagnosis | v1alpha1.Resilience | snapshot.MachineReport](w io.Writer, d D) error {
	data, err := encode(d)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// YAML writes a document as YAML, with the fields of its JSON form. Characters that reorder text
// are named in words: YAML has no escape for them outside double quotes.
func YAML[D v1alpha1.Diagnosis | v1alpha1.Resilience | snapshot.MachineReport](w io.Writer, d D) error {
	data, err := encode(d)
	if err != nil {
		return err
	}
	if data, err = yaml.JSONToYAML(data); err != nil {
		return fmt.Errorf("encoding the diagnosis: %w", err)
	}
	_, err = w.Write(escape(data, "<U+%04X>"))
	return err
}

func encode(d any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encoding the diagnosis: %w", err)
	}
	return escape(buf.Bytes(), `\u%04x`), nil
}

// escape writes every character that acts on a terminal in another format. Such characters occur
// within strings only, but for the line breaks between tokens.
func escape(data []byte, format string) []byte {
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r != '\n' && unsafe(r) {
			out = fmt.Appendf(out, format, r)
		} else {
			out = append(out, data[:size]...)
		}
		data = data[size:]
	}
	return out
}

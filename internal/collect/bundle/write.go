package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/snapshot"
)

// WriteOptions are what a bundle says beside the snapshot.
type WriteOptions struct {
	// Program that writes the bundle, with its version.
	Program string
	// Missing is what the bundle lacks beyond the kinds' coverage, and why.
	Missing []finding.Skip
}

// Write puts a snapshot on disk, as an archive where the name ends in .tar.gz, .tgz or .tar and as a
// folder otherwise. What is there already is not overwritten. The bytes depend on the snapshot and
// the options alone. A bundle holds what the snapshot holds, and so no values of Secrets, ConfigMaps
// and environment variables (see collect.Clean).
func Write(ctx context.Context, name string, s *snapshot.Snapshot, o WriteOptions) error {
	var err error
	if isArchive, gzipped := isArchiveName(name); isArchive {
		err = writeArchive(name, gzipped, s.Now(), func(t target) error { return writeTo(ctx, t, s, o) })
	} else {
		err = writeFolder(name, func(t target) error { return writeTo(ctx, t, s, o) })
	}
	if err != nil {
		return fmt.Errorf("writing bundle %s: %w", name, err)
	}
	return nil
}

// target takes the files of a bundle. write may be called twice, and writes the same both times.
type target func(name string, write func(io.Writer) error) error

func writeTo(ctx context.Context, put target, s *snapshot.Snapshot, o WriteOptions) error {
	m := manifestOf(s, o)
	if err := put(manifestFile, func(w io.Writer) error { return writeJSON(w, m) }); err != nil {
		return err
	}
	for _, record := range m.Kinds {
		if record.File == "" {
			continue
		}
		k := record.kind()
		if err := put(record.File, func(w io.Writer) error { return writeList(ctx, w, s, k) }); err != nil {
			return err
		}
	}
	for _, record := range m.Answers {
		if record.Answer.File == "" {
			continue
		}
		a, _ := s.Answer(record.Question)
		if err := put(record.Answer.File, func(w io.Writer) error {
			_, err := io.WriteString(w, a.Text+"\n")
			return err
		}); err != nil {
			return err
		}
	}
	for _, node := range s.MachineNodes() {
		report, _ := s.Machine(node)
		if err := put(path.Join("machines", node, "report.json"), func(w io.Writer) error { return writeJSON(w, report) }); err != nil {
			return err
		}
	}
	return nil
}

func manifestOf(s *snapshot.Snapshot, o WriteOptions) manifest {
	m := manifest{
		TypeMeta: metav1.TypeMeta{APIVersion: ManifestVersion, Kind: manifestKind},
		Program:  o.Program, Cluster: s.Source().Name, ObservedAt: s.Now().UTC(), API: s.API(),
	}
	for _, k := range s.Kinds() {
		record := kindRecord{
			Group: k.Group, Version: k.Version, Kind: k.Kind, Resource: k.Resource,
			Coverage: s.Coverage(k), Objects: s.Len(k),
		}
		if record.Objects > 0 {
			record.File = k.GroupResource() + ".json"
		}
		m.Kinds = append(m.Kinds, record)
	}
	for _, q := range s.Asked() {
		a, _ := s.Answer(q)
		record := answerRecord{Question: q, Answer: recordedAnswer{Answer: a}}
		if q.Kind == snapshot.ContainerLog && a.Text != "" {
			record.Answer.File, record.Answer.Text = logFile(q), ""
		}
		m.Answers = append(m.Answers, record)
	}
	for _, skip := range o.Missing {
		m.Missing = append(m.Missing, missingOf(skip))
	}
	return m
}

// logFile is where the log that a question is about lies in a bundle.
func logFile(q snapshot.Question) string {
	name := q.Container
	if q.Previous {
		name += ".previous"
	}
	return path.Join("logs", q.Namespace, q.Name, name+".log")
}

// writeList writes the objects of a kind as a List, one after another. The list says its kind first,
// so that it can be read the same way.
func writeList(ctx context.Context, w io.Writer, s *snapshot.Snapshot, k snapshot.Kind) error {
	if _, err := io.WriteString(w, "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": ["); err != nil {
		return err
	}
	var failed error
	separator := "\n    "
	s.Each(k, func(o snapshot.Object) {
		if failed == nil {
			failed = ctx.Err()
		}
		if failed == nil {
			failed = writeItem(w, separator, o, k)
		}
		separator = ",\n    "
	})
	if failed != nil {
		return failed
	}
	_, err := io.WriteString(w, "\n  ]\n}\n")
	return err
}

func writeItem(w io.Writer, separator string, o snapshot.Object, k snapshot.Kind) error {
	// Objects of a snapshot are shared and, out of a list, do not say what they are.
	typed := o.DeepCopyObject()
	typed.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
	text, err := json.MarshalIndent(typed, "    ", "  ")
	if err != nil {
		return fmt.Errorf("writing %s %s/%s: %w", k.Kind, o.GetNamespace(), o.GetName(), err)
	}
	if _, err := io.WriteString(w, separator); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// ErrThere is the error of writing over something.
var ErrThere = errors.New("something is there already; choose another name or remove it")

// safeName tells whether a name out of a snapshot can be part of a path: names of Kubernetes objects
// can, and nothing else comes out of a healthy API server.
func safeName(name string) bool {
	return !path.IsAbs(name) && path.Clean(name) == name && !strings.HasPrefix(name, "..") && !strings.Contains(name, `\`)
}

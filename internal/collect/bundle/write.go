package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	// Logs are containers' logs to put beside those that answer questions; nil for none. They are taken
	// one at a time, so that they may come from a cluster while the bundle is written.
	Logs iter.Seq[Log]
}

// Log is the end of a container's log.
type Log struct {
	// Question that it answers, of kind ContainerLog.
	Question snapshot.Question
	// Text of it, redacted.
	Text string
	// Error says why it could not be read; empty where it could.
	Error string
}

// Write puts a snapshot on disk, as an archive where the name ends in .tar.gz, .tgz or .tar and as a
// folder otherwise. What is there already is not overwritten, and what is written shows under its name
// once it is whole. The bytes depend on the snapshot and the options alone. A bundle holds what the
// snapshot holds, and so no values of Secrets, ConfigMaps and environment variables (see
// collect.Clean).
func Write(ctx context.Context, name string, s *snapshot.Snapshot, o WriteOptions) error {
	var err error
	if isArchive, gzipped := isArchiveName(name); isArchive {
		err = writeArchive(name, gzipped, s.Now(), func(t target) error { return writeTo(ctx, t, s, o, true) })
	} else {
		err = writeFolder(name, func(t target) error { return writeTo(ctx, t, s, o, false) })
	}
	if err != nil {
		return fmt.Errorf("writing bundle %s: %w", name, err)
	}
	return nil
}

// target takes the files of a bundle. write may be called twice, and writes the same both times.
type target func(name string, write func(io.Writer) error) error

// writeTo writes the manifest last, when all is known that is missing. In an archive it stands at the
// front too, so that one which is cut off on its way still tells what it lacks; the last one counts.
func writeTo(ctx context.Context, put target, s *snapshot.Snapshot, o WriteOptions, atFront bool) error {
	m := manifestOf(s, o)
	if atFront {
		if err := put(manifestFile, func(w io.Writer) error { return writeJSON(w, m) }); err != nil {
			return err
		}
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
	for _, record := range m.CustomKinds {
		if record.File == "" {
			continue
		}
		if err := put(record.File, func(w io.Writer) error { return writeCustomList(w, s, record.kind()) }); err != nil {
			return err
		}
	}
	for _, report := range s.MachineReports() {
		if err := put(path.Join("machines", report.Node, "report.json"), func(w io.Writer) error { return writeJSON(w, report) }); err != nil {
			return err
		}
	}
	logs, err := writeLogs(put, &m, o.Logs)
	if err != nil {
		return err
	}
	if err := writeAnswers(put, &m, logs); err != nil {
		return err
	}
	return put(manifestFile, func(w io.Writer) error { return writeJSON(w, m) })
}

// missingLogs is how many logs that could not be read are told one by one.
const missingLogs = 30

// writeLogs writes the logs that come beside those of answers, and returns the names of their files.
// What could not be read goes into the manifest.
func writeLogs(put target, m *manifest, logs iter.Seq[Log]) (map[string]bool, error) {
	written := map[string]bool{}
	if logs == nil {
		return written, nil
	}
	failed := 0
	for log := range logs {
		file := logFile(log.Question)
		if log.Error != "" {
			if failed++; failed <= missingLogs {
				m.Missing = append(m.Missing, missingOf(finding.Skip{Reason: finding.Textf(
					"%s could not be read: %s", "%s 파일을 읽지 못했습니다: %s", file, log.Error)}))
			}
			continue
		}
		if log.Text == "" || written[file] {
			continue
		}
		if err := put(file, text(log.Text+"\n")); err != nil {
			return nil, err
		}
		written[file] = true
	}
	if failed > missingLogs {
		m.Missing = append(m.Missing, missingOf(finding.Skip{Reason: finding.Textf(
			"and %d more logs could not be read", "그 밖에 로그 %d개를 읽지 못했습니다", failed-missingLogs)}))
	}
	return written, nil
}

// writeAnswers puts the texts that people want to read into files of their own. Where a longer log lies
// in the file already, the answer's text stays in the manifest: it is what the diagnosis saw.
func writeAnswers(put target, m *manifest, written map[string]bool) error {
	for i := range m.Answers {
		a := &m.Answers[i]
		file := answerFile(a.Question)
		if file == "" || a.Answer.Text == "" || written[file] {
			continue
		}
		content := a.Answer.Text
		if a.Kind == snapshot.ContainerLog {
			content += "\n"
		}
		if err := put(file, text(content)); err != nil {
			return err
		}
		a.Answer.File, a.Answer.Text = file, ""
	}
	return nil
}

func text(content string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
}

func manifestOf(s *snapshot.Snapshot, o WriteOptions) manifest {
	m := manifest{
		TypeMeta: metav1.TypeMeta{APIVersion: ManifestVersion, Kind: manifestKind},
		Program:  o.Program, Cluster: s.Source().Name, ObservedAt: s.Now().UTC(), API: s.API(),
		CustomKinds: customRecords(s), ExpectedNodes: s.ExpectedNodes(), UnreportedMachines: s.Unreported(),
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
		m.Answers = append(m.Answers, answerRecord{Question: q, Answer: recordedAnswer{Answer: a}})
	}
	for _, skip := range o.Missing {
		m.Missing = append(m.Missing, missingOf(skip))
	}
	return m
}

// answerFile is where the text of an answer lies in a bundle; empty where it stays in the manifest.
func answerFile(q snapshot.Question) string {
	switch q.Kind {
	case snapshot.ContainerLog:
		return logFile(q)
	case snapshot.APIServerMetrics:
		return metricsFile
	default:
		return ""
	}
}

// metricsFile holds the API server's metrics that rules read.
const metricsFile = "metrics/kube-apiserver.txt"

// logFile is where the log that a question is about lies in a bundle.
func logFile(q snapshot.Question) string {
	name := q.Container
	if q.Previous {
		name += ".previous"
	}
	return path.Join("logs", q.Namespace, q.Name, name+".log")
}

// writeList writes the objects of a kind as a List, one after another. Events come in the order in
// which they happened, all else by namespace and name.
func writeList(ctx context.Context, w io.Writer, s *snapshot.Snapshot, k snapshot.Kind) error {
	list := listWriter{w: w}
	var failed error
	put := func(o snapshot.Object) {
		if failed == nil {
			failed = ctx.Err()
		}
		if failed != nil {
			return
		}
		// Objects of a snapshot are shared and, out of a list, do not say what they are.
		typed := o.DeepCopyObject()
		typed.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind())
		if err := list.add(typed); err != nil {
			failed = fmt.Errorf("writing %s %s/%s: %w", k.Kind, o.GetNamespace(), o.GetName(), err)
		}
	}
	if k == snapshot.KindOf[*corev1.Event]() {
		events := slices.Clone(snapshot.List[*corev1.Event](s))
		slices.SortStableFunc(events, func(a, b *corev1.Event) int { return snapshot.EventTime(a).Compare(snapshot.EventTime(b)) })
		for _, e := range events {
			put(e)
		}
	} else {
		s.Each(k, put)
	}
	return errors.Join(failed, list.end())
}

// listWriter writes a List item by item. The list says its kind first, so that it can be read the same
// way.
type listWriter struct {
	w     io.Writer
	begun bool
}

func (l *listWriter) add(item any) error {
	separator := ",\n    "
	if !l.begun {
		separator = listHead + "\n    "
		l.begun = true
	}
	text, err := json.MarshalIndent(item, "    ", "  ")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(l.w, separator); err != nil {
		return err
	}
	_, err = l.w.Write(text)
	return err
}

func (l *listWriter) end() error {
	tail := "\n  ]\n}\n"
	if !l.begun {
		tail = listHead + tail
	}
	_, err := io.WriteString(l.w, tail)
	return err
}

const listHead = "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": ["

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

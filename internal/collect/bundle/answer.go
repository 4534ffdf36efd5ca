package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Answer answers questions about container logs from those that lie in the bundle. All else stays
// without an answer, unless the manifest has it: nobody asked it while there was a cluster to ask.
func (b *Bundle) Answer(ctx context.Context, questions []snapshot.Question) map[snapshot.Question]snapshot.Answer {
	wanted := wantedLogs{}
	for _, q := range questions {
		if q.Kind == snapshot.ContainerLog {
			wanted.add(q)
		}
	}
	out := map[snapshot.Question]snapshot.Answer{}
	// What a walk could not reach stays unanswered, and why is among the gaps already.
	_ = b.readLogs(ctx, wanted, func(q snapshot.Question, text string) {
		out[q] = snapshot.Answer{Outcome: snapshot.Answered, Text: text, At: b.snapshot.Now()}
	})
	return out
}

// addRecordedAnswers puts the answers that a manifest tells of into the snapshot, with their texts
// from the files beside it.
func (b *Bundle) addRecordedAnswers(ctx context.Context, records []answerRecord) {
	answers := make(map[snapshot.Question]snapshot.Answer, len(records))
	wanted := wantedLogs{}
	for _, r := range records {
		// A manifest can be made by anyone.
		answers[r.Question] = collect.CleanAnswer(r.Question, r.Answer.Answer)
		if r.Answer.File != "" {
			wanted[r.Answer.File] = append(wanted[r.Answer.File], r.Question)
		}
	}
	_ = b.readLogs(ctx, wanted, func(q snapshot.Question, text string) {
		a := answers[q]
		a.Text = text
		answers[q] = a
	})
	b.snapshot = b.snapshot.With(answers)
}

// wantedLogs are questions by the path of the file that answers them, without the folders on top.
type wantedLogs map[string][]snapshot.Question

// add names every place where the log that a question is about can lie.
func (w wantedLogs) add(q snapshot.Question) {
	pod := q.Namespace + "/" + q.Name
	gathered := "namespaces/" + q.Namespace + "/pods/" + q.Name + "/" + q.Container + "/" + q.Container + "/logs/"
	paths := []string{"logs/" + pod + "/" + q.Container + ".log", pod + "/logs.txt", gathered + "current.log"}
	if q.Previous {
		// The second is how support bundles name it, the third how a must-gather does.
		paths = []string{
			"logs/" + pod + "/" + q.Container + ".previous.log",
			"pods/logs/" + pod + "/" + q.Container + "-previous.log", gathered + "previous.log",
		}
	}
	for _, path := range paths {
		w[path] = append(w[path], q)
	}
}

// match finds the questions that a file answers, whatever folders are on top of it.
func (w wantedLogs) match(name string) []snapshot.Question {
	for {
		if questions, ok := w[name]; ok {
			return questions
		}
		_, below, ok := strings.Cut(name, "/")
		if !ok {
			return nil
		}
		name = below
	}
}

// errAllFound ends a walk early.
var errAllFound = errors.New("every log was found")

// readLogs walks the bundle once and hands over the end of every log that is wanted.
func (b *Bundle) readLogs(ctx context.Context, wanted wantedLogs, found func(q snapshot.Question, text string)) error {
	missing := map[snapshot.Question]bool{}
	for _, questions := range wanted {
		for _, q := range questions {
			missing[q] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err := b.source.walk(ctx, func(e entry) error {
		questions := wanted.match(e.name)
		if len(questions) == 0 {
			return nil
		}
		content, err := e.open()
		if err != nil {
			return fmt.Errorf("reading %s: %w", e.name, err)
		}
		defer func() { _ = content.Close() }()
		log := bounded(content, maxLogBytes)
		if strings.HasSuffix(e.name, "/logs.txt") {
			for q, text := range dumpedLogs(log, questions) {
				found(q, text)
				delete(missing, q)
			}
		} else if text, err := answerText(questions[0], log); err == nil || text != "" {
			for _, q := range questions {
				found(q, text)
				delete(missing, q)
			}
		}
		if len(missing) == 0 {
			return errAllFound
		}
		return nil
	})
	if errors.Is(err, errAllFound) {
		return nil
	}
	return err
}

// answerText reads a file that holds an answer's text.
func answerText(q snapshot.Question, r io.Reader) (string, error) {
	if q.Kind == snapshot.APIServerMetrics {
		return collect.Metrics(r)
	}
	return collect.LogTail(r)
}

// dumpedLogs reads a cluster-info dump's logs.txt, where the logs of a pod's containers follow one
// another, each between two lines of its own.
func dumpedLogs(r io.Reader, questions []snapshot.Question) map[snapshot.Question]string {
	byStart := map[string]snapshot.Question{}
	for _, q := range questions {
		byStart[dumpMark("START", q)] = q
	}
	out := map[snapshot.Question]string{}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if q, ok := byStart[string(bytes.TrimSpace(line))]; ok {
			text, _ := collect.LogTail(&section{in: in, end: []byte(dumpMark("END", q))})
			// A dump keeps the error of reading a log in the log's place.
			if !strings.HasPrefix(text, "Request log error: ") {
				out[q] = text
			}
			continue
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return out
		}
	}
}

// dumpMark is the line around a container's log (k8s.io/kubectl/pkg/cmd/clusterinfo, Run).
func dumpMark(which string, q snapshot.Question) string {
	return fmt.Sprintf("==== %s logs for container %s of pod %s/%s ====", which, q.Container, q.Namespace, q.Name)
}

// section reads up to a mark. The mark stands on the log's last line where that has no newline.
type section struct {
	in      *bufio.Reader
	end     []byte
	pending []byte
	over    bool
}

func (s *section) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		if s.over {
			return 0, io.EOF
		}
		line, err := s.in.ReadSlice('\n')
		if before, found := bytes.CutSuffix(bytes.TrimRight(line, "\r\n"), s.end); found {
			line, s.over = before, true
		} else if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			s.over = true
		}
		s.pending = line
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

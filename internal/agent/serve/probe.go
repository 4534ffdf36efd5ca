package serve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/maek-dev/maek/internal/probe/remote"
)

const (
	// reading is how many requests for probes are read at a time: each may be remote.MaxRequest long.
	reading = 2
	// spare is what a caller has to take an answer in, beyond the time that its probes may take.
	spare = 10 * time.Second
)

// callerKey carries whom the guard knows a caller as.
type callerKey struct{}

// probe makes probes for whoever may have it do so.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	request, err := s.request(w, r)
	if tooLong, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, tooLong.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	control := http.NewResponseController(w)
	// Until all of them could have been made one after another, as far as requests may last at all. Deadlines of
	// reading are over: a connection that is silent while its caller waits is not to be given up.
	most := min(time.Duration(len(request.Probes))*request.Timeout()+spare, answerTimeout)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(s.o.Now().Add(most))
	ctx, cancel := context.WithTimeout(r.Context(), most)
	defer cancel()

	caller, _ := r.Context().Value(callerKey{}).(string) // none is root, at the socket
	done, err := s.o.Prober.Admit(caller, len(request.Probes))
	if err != nil {
		tooMany(w, err.Error())
		return
	}
	defer done()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := compressed(w, r)
	defer out.end()
	encoder := json.NewEncoder(out)
	// At once, so that whoever asks knows that somebody answers while targets are waited for.
	if errors.Join(encoder.Encode(remote.Head{APIVersion: remote.Version, Node: s.o.Source.Self().Node}), out.flush()) != nil {
		return
	}
	s.o.Prober.Run(ctx, request, func(a remote.Answer) error { return errors.Join(encoder.Encode(a), out.flush()) })
}

// request reads what is asked for.
func (s *Server) request(w http.ResponseWriter, r *http.Request) (remote.Request, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-r.Context().Done():
		return remote.Request{}, r.Context().Err()
	}
	return remote.DecodeRequest(http.MaxBytesReader(w, r.Body, remote.MaxRequest))
}

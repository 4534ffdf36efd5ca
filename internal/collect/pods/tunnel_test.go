package pods

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
)

// hasty is a connection whose other side gives the second stream of a pair up before it is made.
type hasty struct{ complaint string }

var errReset = errors.New("stream reset")

// CreateStream implements httpstream.Connection.
func (h hasty) CreateStream(headers http.Header) (httpstream.Stream, error) {
	if headers.Get(corev1.StreamType) == corev1.StreamTypeData {
		return nil, errReset
	}
	return words{strings.NewReader(h.complaint)}, nil
}

// Close implements httpstream.Connection, as the others do.
func (hasty) Close() error                       { return nil }
func (hasty) CloseChan() <-chan bool             { return nil }
func (hasty) SetIdleTimeout(time.Duration)       {}
func (hasty) RemoveStreams(...httpstream.Stream) {}

// words is a stream that says something and ends.
type words struct{ io.Reader }

// Write implements httpstream.Stream, as the others do.
func (words) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
func (words) Close() error              { return nil }
func (words) Reset() error              { return nil }
func (words) Headers() http.Header      { return nil }
func (words) Identifier() uint32        { return 1 }

// TestWhatIsRefusedBeforeItIsMadeSaysSo holds that the kubelet's reason is told, however early it comes.
func TestWhatIsRefusedBeforeItIsMadeSaysSo(t *testing.T) {
	const refused = "dial tcp4 127.0.0.1:1: connect: connection refused"
	for name, tc := range map[string]struct{ complaint, want string }{
		"with a reason":    {refused + "\n", "forwarding a port: " + refused},
		"without a reason": {"", "forwarding a port: stream reset"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := (&Tunnel{conn: hasty{tc.complaint}}).Dial(t.Context(), 1); err == nil || err.Error() != tc.want {
				t.Errorf("says %v, want %s", err, tc.want)
			}
		})
	}
}

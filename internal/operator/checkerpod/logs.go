package checkerpod

import (
	"context"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/history"
	"github.com/maek-dev/maek/internal/secret"
)

// logLines is how many lines of a log are asked for: the API counts from the end in lines only.
const logLines = 500

// Logs reads containers' logs.
type Logs interface {
	// Tail returns the end of a container's log, at most the given number of bytes.
	Tail(ctx context.Context, pod types.NamespacedName, container string, bytes int) ([]byte, error)
}

// PodLogs reads logs from the API server.
type PodLogs struct{ Pods corev1client.PodsGetter }

var _ Logs = PodLogs{}

// Tail returns the end of a container's log: at most 500 lines, and of those the last bytes. Its error
// is the API server's.
func (l PodLogs) Tail(ctx context.Context, pod types.NamespacedName, container string, bytes int) ([]byte, error) {
	stream, err := l.Pods.Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, TailLines: new(int64(logLines)),
	}).Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the log of container %s of pod %s: %w", container, pod, err)
	}
	defer stream.Close()
	end := make([]byte, 0, 2*bytes)
	chunk := make([]byte, 16<<10)
	for {
		n, err := stream.Read(chunk)
		end = append(end, chunk[:n]...)
		if len(end) > bytes {
			end = append(end[:0], end[len(end)-bytes:]...)
		}
		if err == io.EOF {
			return end, nil
		}
		if err != nil {
			return end, fmt.Errorf("reading the log of container %s of pod %s: %w", container, pod, err)
		}
	}
}

// logBytes is how much of a log is read, to keep the end of it.
const logBytes = 64 << 10

// LogTail reads the end of a container's log as a CheckRecord holds it: whole lines, without secrets. It is empty
// where there is no container or nobody to read its log, and where that cannot be read, as of a pod that is gone;
// the error says why then.
func LogTail(ctx context.Context, logs Logs, pod types.NamespacedName, container string) (string, error) {
	if logs == nil || container == "" {
		return "", nil
	}
	text, err := logs.Tail(ctx, pod, container, logBytes)
	if err != nil {
		return "", fmt.Errorf("reading what a pod said last: %w", err)
	}
	return history.Tail(secret.Redact(strings.ToValidUTF8(string(text), "\uFFFD")), v1alpha1.MaxLogTail), nil
}

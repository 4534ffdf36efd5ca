package statuspage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maek-dev/maek/api/maek/v1alpha1"
	"github.com/maek-dev/maek/internal/kuberhealthy"
	"github.com/maek-dev/maek/internal/secret"
)

// event is how version 3 tells of one (main: cmd/kuberhealthy/webserver.go, eventSummary).
type event struct {
	Message       string `json:"message"`
	Reason        string `json:"reason"`
	Type          string `json:"type"`
	LastTimestamp int64  `json:"lastTimestamp,omitempty"`
}

// events lists the events about a check's object, for those who may list events in its namespace.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	asked, ok := p.check(w, r)
	if !ok || !p.allow(w, r, Deed{Resource: &authorizationv1.ResourceAttributes{
		Namespace: asked.namespace, Verb: "list", Resource: "events",
	}}) {
		return
	}
	if !asked.found {
		asked.missing(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	events, err := p.Cluster.Events(ctx, asked.entry.Check)
	if err != nil {
		p.Log.Warn("events could not be listed", "error", err)
		unavailable(w, "the API server does not tell the events")
		return
	}
	told := make([]event, 0, len(events))
	for i := range events {
		e := &events[i]
		told = append(told, event{Message: asked.entry.Shown(e.Message), Reason: e.Reason, Type: e.Type, LastTimestamp: seen(e).Unix()})
	}
	text, err := json.Marshal(told)
	if err != nil {
		answer(w, http.StatusInternalServerError, "the events could not be printed")
		return
	}
	w.Header().Set("Content-Type", kuberhealthy.ContentTypeV3)
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone: nobody is left to be told
}

// log shows what a checker pod logged.
func (p *Page) log(w http.ResponseWriter, r *http.Request) {
	pod, ok := p.pod(w, r)
	if !ok {
		return
	}
	if r.URL.Query().Get("format") != "text" {
		answer(w, http.StatusNotAcceptable, "logs are text: add &format=text")
		return
	}
	p.show(w, r, pod, corev1.PodLogOptions{LimitBytes: new(int64(logBytes))}, writeTime)
}

// follow shows it while the pod runs.
func (p *Page) follow(w http.ResponseWriter, r *http.Request) {
	pod, ok := p.pod(w, r)
	if !ok {
		return
	}
	if pod.Status.Phase != corev1.PodRunning {
		answer(w, http.StatusConflict, "pod "+pod.Name+" does not run: see /api/logs")
		return
	}
	if err := http.NewResponseController(w).SetWriteDeadline(p.Clock.Now().Add(streamTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		p.Log.Warn("a log's answer could not be given its time", "error", err)
	}
	p.show(w, r, pod, corev1.PodLogOptions{Follow: true}, streamTime)
}

// pod is the checker pod that a request names by ?pod=, for those who may read logs in its namespace.
func (p *Page) pod(w http.ResponseWriter, r *http.Request) (*corev1.Pod, bool) {
	if !readOnly(w, r) {
		return nil, false
	}
	asked, ok := p.check(w, r)
	if !ok {
		return nil, false
	}
	name := strings.TrimSpace(r.URL.Query().Get("pod"))
	if name == "" {
		answer(w, http.StatusBadRequest, "name the pod: &pod=NAME")
		return nil, false
	}
	if !p.allow(w, r, Deed{Resource: &authorizationv1.ResourceAttributes{
		Namespace: asked.namespace, Name: name, Verb: "get", Resource: "pods", Subresource: "log",
	}}) {
		return nil, false
	}
	if !asked.found {
		asked.missing(w)
		return nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	pod, err := p.Cluster.Pod(ctx, types.NamespacedName{Namespace: asked.namespace, Name: name})
	switch {
	case apierrors.IsNotFound(err):
		answer(w, http.StatusNotFound, "there is no pod "+asked.namespace+"/"+name)
	case err != nil:
		p.Log.Warn("a pod could not be read", "error", err)
		unavailable(w, "the API server does not tell of the pod")
	case !ownedBy(pod, asked.entry.Check):
		answer(w, http.StatusForbidden, "pod "+name+" is none of "+asked.kind+" "+asked.namespace+"/"+asked.name)
	default:
		return pod, true
	}
	return nil, false
}

// ownedBy tells whether a check's run made the pod.
func ownedBy(pod *corev1.Pod, check kuberhealthy.Check) bool {
	uid := string(check.UID)
	if uid == "" {
		return false
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	return pod.Labels[v1alpha1.LabelRunOf] == uid || owner != nil && string(owner.UID) == uid
}

// show copies a container's log, that of ?container= or of the pod's first one, for at most the given time.
func (p *Page) show(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, options corev1.PodLogOptions, within time.Duration) {
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	options.Container = r.URL.Query().Get("container")
	if options.Container == "" && len(pod.Spec.Containers) > 0 {
		options.Container = pod.Spec.Containers[0].Name
	}
	stream, err := p.Cluster.Log(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, options)
	if err != nil {
		p.Log.Warn("a log could not be read", "error", err)
		unavailable(w, "the log of pod "+pod.Name+" cannot be read just now")
		return
	}
	defer stream.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	blotted := &blotter{into: w, flush: http.NewResponseController(w).Flush, token: []byte(kuberhealthy.RunIDOf(pod))}
	if _, err := io.Copy(blotted, stream); err == nil {
		_ = blotted.close() // whoever asked has gone: nobody is left to be told
	}
}

// blotter takes a token out of what is written through it. A checker may well print the token of its run,
// with which anybody could report in its place. It is the pod that knows it: what is known of the check may
// be older than its newest run.
type blotter struct {
	into  io.Writer
	flush func() error
	token []byte
	// held may be the beginning of the token.
	held []byte
}

func (b *blotter) Write(p []byte) (int, error) {
	text := slices.Concat(b.held, p)
	if len(b.token) > 0 {
		text = bytes.ReplaceAll(text, b.token, []byte(secret.Blot))
	}
	keep := b.begun(text)
	if _, err := b.into.Write(text[:len(text)-keep]); err != nil {
		return 0, err
	}
	b.held = bytes.Clone(text[len(text)-keep:])
	if err := b.flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return len(p), nil
}

// begun is how much of the token the text ends with.
func (b *blotter) begun(text []byte) int {
	for n := min(len(b.token)-1, len(text)); n > 0; n-- {
		if bytes.HasPrefix(b.token, text[len(text)-n:]) {
			return n
		}
	}
	return 0
}

func (b *blotter) close() error {
	_, err := b.into.Write(b.held)
	return err
}

package agents

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/probe/remote"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Errors of an agent that is asked to make probes.
var (
	// ErrTooOld says that the agent does not know how.
	ErrTooOld = errors.New("its agent is of an older version, which makes no probes; install the agent of this version")
	// ErrSilent says that it does not answer.
	ErrSilent = errSilent
)

const (
	// beginTime is how long an agent has to begin its answer: it does so before it makes any probe.
	beginTime = 5 * time.Second
	// idleTime is how long a line is kept that nobody uses; agents end theirs a little later.
	idleTime = 80 * time.Second
	// pingTime is how long a line is silent before it is looked whether the other side is still there.
	pingTime = 15 * time.Second
)

// Line leads to one agent, over connections that are kept. It reaches the agent at the addresses of its
// machine. It may be used by many goroutines at a time.
type Line struct {
	node      string
	transport *http.Transport
	client    *http.Client
}

// NewLine makes a line; nothing is sent before it is used. The port is monitor.Port but in tests.
func NewLine(a Agent, port uint16) *Line {
	secure := &tls.Config{}
	pin(secure, a.Key)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var errs []error
			for _, address := range a.Addresses {
				dialer := &net.Dialer{Timeout: connectTime}
				conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(int(port))))
				if err == nil {
					return conn, nil
				}
				errs = append(errs, err)
			}
			if len(errs) == 0 {
				return nil, errors.New("its machine has no address")
			}
			return nil, errors.Join(errs...)
		},
		TLSClientConfig: secure, TLSHandshakeTimeout: beginTime, ResponseHeaderTimeout: beginTime, IdleConnTimeout: idleTime,
		// Many requests share a connection: an agent takes few of one address.
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingTime, PingTimeout: beginTime},
	}
	return &Line{node: a.Node, transport: transport, client: only(transport)}
}

// Probe has the agent make probes, and tells of each answer once, until f returns false. An error says why no
// more come; those that were told of stand.
func (l *Line) Probe(ctx context.Context, token string, r remote.Request, f func(remote.Answer) bool) error {
	return post(ctx, l.client, token, l.node, r, f)
}

// Close ends connections that nobody uses; those in use end when they are idle.
func (l *Line) Close() { l.transport.CloseIdleConnections() }

// On is the agent of a node, by the node and the pods on it; the error says why there is none to be asked.
func On(node *corev1.Node, pods []*corev1.Pod) (Agent, error) {
	for _, p := range pods {
		if !isAgent(p) || p.Spec.NodeName != node.Name || !snapshot.PodReady(p) {
			continue
		}
		key := node.Annotations[monitor.KeyAnnotation]
		if key == "" {
			return Agent{}, errors.New("its agent has not published its key yet (annotation " + monitor.KeyAnnotation + " of the Node)")
		}
		return Agent{Node: node.Name, Key: key, Addresses: addressesOf(node), namespace: p.Namespace, pod: p.Name, ready: true}, nil
	}
	return Agent{}, errNoAgent
}

// errNoAgent is the error of a node on which no agent runs.
var errNoAgent = errors.New("no agent runs there")

// Labels select the agents' pods.
func Labels() map[string]string {
	return map[string]string{nameLabel: nameOfMaek, componentLabel: monitor.Component}
}

// Probe has an agent make probes through the API server, and shows it what the kubeconfig has, or a token that
// is good for nothing else.
func Probe(ctx context.Context, cfg *rest.Config, a Agent, r remote.Request, f func(remote.Answer) bool) error {
	if cfg.Impersonate.UserName != "" {
		return errors.New("agents know nobody but yourself, and are not asked on behalf of somebody else (--as)")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := clientFor(ctx, cfg, a, forward(cfg), monitor.ProberAccount)
	if err != nil {
		return err
	}
	return post(ctx, client, "", a.Node, r, f)
}

func post(ctx context.Context, client *http.Client, token, node string, r remote.Request, f func(remote.Answer) bool) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	at := url.URL{Scheme: "https", Host: "agent", Path: monitor.ProbePath}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		return remote.ReadAnswers(resp.Body, node, len(r.Probes), f)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return ErrTooOld
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxWords))
		return fmt.Errorf("it answers %s: %s", resp.Status, words(string(text)))
	}
}

package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/maek-dev/maek/internal/collect/agents"
	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

const (
	// ownTime bounds the agent's answer about its own machine, and othersTime those of all others, each of
	// which has three seconds.
	ownTime    = 3 * time.Second
	othersTime = 10 * time.Second
	// maxOwn bounds the own report, in bytes.
	maxOwn = 16 << 20
	// maxOthers bounds the reports of all others together, in bytes: 5,000 of 25 KiB.
	maxOthers = 128 << 20
)

// agent is the machine's own, behind its socket.
type agent struct {
	client *http.Client
}

// errNoAgent says that no agent runs here.
var errNoAgent = errors.New("no agent runs here")

// agentAt reaches the agent whose socket is below a root.
func agentAt(root string) agent {
	path := filepath.Join(root, monitor.SocketPath)
	return agent{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

func (a agent) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	at := url.URL{Scheme: "http", Host: "agent", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && !errors.Is(err, context.DeadlineExceeded) {
			return nil, errNoAgent
		}
		return nil, fmt.Errorf("asking the agent here: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("asking the agent here: it answers %s", resp.Status)
	}
	return resp.Body, nil
}

// own is the agent's report of this machine.
func (a agent) own(ctx context.Context) (snapshot.MachineReport, error) {
	ctx, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	var r snapshot.MachineReport
	body, err := a.get(ctx, monitor.ReportPath, nil)
	if err != nil {
		return r, err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(io.LimitReader(body, maxOwn)).Decode(&r); err != nil {
		return r, fmt.Errorf("reading the report of the agent here: %w", err)
	}
	if err := agents.Check(r.Node, &r); err != nil {
		return r, fmt.Errorf("reading the report of the agent here: %w", err)
	}
	return r, nil
}

// others are the reports that it gets from its peers, and why some gave none.
func (a agent) others(ctx context.Context, self string, keys []snapshot.EvidenceKey) (reports []snapshot.MachineReport, silent map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, othersTime)
	defer cancel()
	query := url.Values{}
	for _, k := range keys {
		query.Add("keys", string(k))
	}
	body, err := a.get(ctx, monitor.ReportsPath, query)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = body.Close() }()
	silent = map[string]string{}
	limited := &io.LimitedReader{R: body, N: maxOthers}
	err = agents.Read(limited, func(node string, r *snapshot.MachineReport, why error) bool {
		switch {
		case node == self || node == "":
		case why != nil:
			silent[node] = why.Error()
		default:
			reports = append(reports, *r)
		}
		return true
	})
	if err == nil && limited.N == 0 {
		err = fmt.Errorf("they are larger than %d MiB together; the rest is left out", maxOthers>>20)
	}
	if err != nil {
		err = fmt.Errorf("reading the reports of other agents: %w", err)
	}
	return reports, silent, err
}

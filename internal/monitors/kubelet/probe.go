package kubelet

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/monitors/reach"
	"github.com/maek-dev/maek/internal/snapshot"
)

// askAnew is how often the API server is asked over HTTPS while all is well: a connection tells
// enough in between, and a thousand nodes must not be felt.
const askAnew = 5 * time.Minute

func probeHealth(ctx context.Context, address string) []snapshot.MachineEvidence {
	if address == "" {
		return nil
	}
	return evidence("healthz", reach.Get(ctx, "http://"+address+"/healthz", nil))
}

// apiServer keeps what was last heard of the API server.
type apiServer struct {
	url   string
	asked time.Time
	said  reach.Answer
}

func (a *apiServer) probe(ctx context.Context, now time.Time, c client) []snapshot.MachineEvidence {
	u, err := url.Parse(c.server)
	if c.server == "" || err != nil || u.Host == "" {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
	}
	if answer := reach.Connect(ctx, net.JoinHostPort(u.Hostname(), port)); answer.Outcome != reach.Answered {
		a.said = answer
		return evidence("api-server", answer)
	}
	if a.said.Status != http.StatusOK || a.url != c.server || now.Sub(a.asked) >= askAnew {
		a.url, a.asked = c.server, now
		a.said = reach.Get(ctx, strings.TrimSuffix(c.server, "/")+"/readyz", c.tls)
	}
	return evidence("api-server", a.said)
}

func evidence(of string, a reach.Answer) []snapshot.MachineEvidence {
	key := func(what string) snapshot.EvidenceKey { return snapshot.KeyOf("kubelet", of, what) }
	out := []snapshot.MachineEvidence{monitor.Value(key("outcome"), string(a.Outcome))}
	if a.Error != "" {
		out = append(out, monitor.Value(key("error"), a.Error))
	}
	if a.Status != 0 {
		out = append(out, monitor.Int(key("status"), a.Status))
		if a.Status != http.StatusOK {
			out = append(out, monitor.Value(key("body"), a.Body))
		}
	}
	return out
}

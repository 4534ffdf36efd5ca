package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// V2 asks a member by etcd's second API, which servers before 3.6 have and etcd 2 has alone: what
// etcdctl cluster-health used (https://etcd.io/docs/v2.3/api/).
type V2 struct {
	// URL of the member's clients.
	URL string
	// HTTP client with the certificates that the member wants.
	HTTP *http.Client
}

// V2Member is a member as /v2/members lists it.
type V2Member struct {
	// ID in hexadecimal digits.
	ID string `json:"id"`
	// Name of the member.
	Name string `json:"name"`
	// PeerURLs and ClientURLs of the member.
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

// answerLimit bounds what is read of an answer.
const answerLimit = 4 << 20

// Members lists the cluster as the member knows it.
func (v V2) Members(ctx context.Context) ([]V2Member, error) {
	var out struct {
		Members []V2Member `json:"members"`
	}
	if err := v.get(ctx, "/v2/members", &out); err != nil {
		return nil, err
	}
	return out.Members, nil
}

// self returns the IDs of the leader and of the member itself.
func (v V2) self(ctx context.Context) (leader, own string, err error) {
	var out struct {
		ID         string `json:"id"`
		LeaderInfo struct {
			Leader string `json:"leader"`
		} `json:"leaderInfo"`
	}
	if err := v.get(ctx, "/v2/stats/self", &out); err != nil {
		return "", "", err
	}
	return out.LeaderInfo.Leader, out.ID, nil
}

// Version of the member.
func (v V2) Version(ctx context.Context) (string, error) {
	var out struct {
		Server string `json:"etcdserver"`
	}
	if err := v.get(ctx, "/version", &out); err != nil {
		return "", err
	}
	return out.Server, nil
}

// Healthy tells whether the member says that it is.
func (v V2) Healthy(ctx context.Context) (bool, error) {
	h, err := checkHealth(ctx, v.HTTP, v.URL)
	return h.Health == "true", err
}

func (v V2) get(ctx context.Context, path string, into any) error {
	resp, err := get(ctx, v.HTTP, v.URL+path)
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("asking etcd for %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking etcd for %s: it answers %s: %s", path, resp.Status, strings.TrimSpace(string(data)))
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("asking etcd for %s: %w", path, err)
	}
	return nil
}

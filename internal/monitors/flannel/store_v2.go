package flannel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
)

// node is a key or folder as etcd's v2 interface gives it
// (https://etcd.io/docs/v2.3/api/#getting-the-value-of-a-key).
type node struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Dir   bool   `json:"dir"`
	TTL   *int64 `json:"ttl"`
	Nodes []node `json:"nodes"`
}

// answerBytes bounds an answer of etcd.
const answerBytes = 8 << 20

// keyNotFound is v2's error code for a key that does not exist (etcd, api/v2error).
const keyNotFound = 100

// readV2 reads a store over etcd's v2 interface, from the first endpoint that answers.
func readV2(ctx context.Context, a access) (held, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*memberTime)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: a.tls, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: memberTime}
	var errs []error
	for _, endpoint := range a.endpoints {
		h, err := readV2From(ctx, client, endpoint, a)
		if err == nil {
			return h, nil
		}
		errs = append(errs, err)
	}
	return held{}, errors.Join(errs...)
}

func readV2From(ctx context.Context, client *http.Client, endpoint string, a access) (held, error) {
	h := held{api: "v2"}
	root, err := getV2(ctx, client, endpoint+path.Join("/v2/keys", a.prefix)+"?recursive=true", a)
	if err != nil || root == nil {
		return h, err
	}
	config, folder := path.Join(a.prefix, "config"), path.Join(a.prefix, "subnets")
	for _, n := range root.Nodes {
		switch n.Key {
		case config:
			h.config = []byte(n.Value)
		case folder:
			for _, sub := range n.Nodes {
				if len(h.leases) == maxLeases {
					h.cut = true
					break
				}
				l, err := parseLease(path.Base(sub.Key), []byte(sub.Value))
				if err != nil {
					h.strange = append(h.strange, err)
					continue
				}
				l.reserved = sub.TTL == nil
				if sub.TTL != nil {
					l.ttl = new(max(0, time.Duration(*sub.TTL)*time.Second))
				}
				h.leases = append(h.leases, l)
			}
		}
	}
	inOrder(h.leases)
	return h, nil
}

// getV2 gets a key with all below it; nil where it does not exist.
func getV2(ctx context.Context, client *http.Client, url string, a access) (*node, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking etcd: %w", err)
	}
	if a.username != "" {
		request.SetBasicAuth(a.username, a.password)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking etcd: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, answerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if len(data) > answerBytes {
		return nil, fmt.Errorf("reading the answer of %s: it is longer than %d bytes", url, answerBytes)
	}
	var answer struct {
		Node      *node  `json:"node"`
		ErrorCode int    `json:"errorCode"`
		Message   string `json:"message"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		// An etcd without the v2 interface answers in plain text.
		return nil, fmt.Errorf("asking %s: %s: %s", url, response.Status, strings.TrimSpace(string(data[:min(len(data), 80)])))
	}
	switch {
	case answer.ErrorCode == keyNotFound:
		return nil, nil
	case answer.ErrorCode != 0:
		return nil, fmt.Errorf("asking %s: %s (error %d)", url, answer.Message, answer.ErrorCode)
	}
	return answer.Node, nil
}

package cluster

import (
	"context"
	"encoding/json"

	"golang.org/x/sync/errgroup"
)

// LoadEverywhere gives an image in an archive to every machine that is on.
func (l *Lab) LoadEverywhere(ctx context.Context, archive string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, spec := range l.Machines {
		m := l.machine(spec)
		group.Go(func() error {
			leader, err := m.Leader()
			if err != nil || leader == 0 {
				return err
			}
			return LoadImage(ctx, m, archive)
		})
	}
	return group.Wait()
}

// nodeReady is what NodeReadiness says about a node that is ready.
const nodeReady = "Ready"

// NodeReadiness returns what the API says about each node, by name: Ready, NotReady or Unknown. Where the API cannot be
// asked it returns nothing.
func (l *Lab) NodeReadiness(ctx context.Context) map[string]string {
	out, err := l.Kubectl(ctx, "", "get", "nodes", "-o", "json", "--request-timeout=3s")
	if err != nil {
		return nil
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			Status struct {
				Conditions []struct {
					Type   string `json:"type"`
					Status string `json:"status"`
				} `json:"conditions"`
			} `json:"status"`
		} `json:"items"`
	}
	if json.Unmarshal([]byte(out), &list) != nil {
		return nil
	}
	readiness := make(map[string]string)
	for _, item := range list.Items {
		for _, condition := range item.Status.Conditions {
			if condition.Type == nodeReady {
				readiness[item.Metadata.Name] = map[string]string{"True": nodeReady, "False": "NotReady", "Unknown": "Unknown"}[condition.Status]
			}
		}
	}
	return readiness
}

package agents

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

// Memory keeps where a cluster's agents are and by which keys they are known, as ssh's known_hosts does
// of hosts, so that they can be asked when the API server cannot. A nil one keeps nothing.
type Memory struct {
	path string
}

// remembered is what lies on disk.
type remembered struct {
	// Nodes are the names of all nodes.
	Nodes []string `json:"nodes"`
	// Agents of the cluster.
	Agents []Agent `json:"agents"`
}

// MemoryIn returns the memory of one cluster in a cache folder. Clusters are told apart by the address
// and the authority of their API servers.
func MemoryIn(cache string, cfg *rest.Config) *Memory {
	sum := sha256.Sum256([]byte(cfg.Host + "\n" + string(cfg.CAData) + "\n" + cfg.CAFile))
	return &Memory{path: filepath.Join(cache, "maek", "agents", hex.EncodeToString(sum[:12])+".json")}
}

// maxMemory bounds what is read back, in bytes: 5,000 agents are about 1 MB.
const maxMemory = 16 << 20

// save keeps what was seen. That it cannot is no fault of the cluster's, and costs only what a later
// run could have known.
func (m *Memory) save(s seen) {
	if m == nil || len(s.agents) == 0 {
		return
	}
	data, err := json.Marshal(remembered{Nodes: s.nodes, Agents: s.agents})
	if err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(m.path), ".agents-*") // 0600
	if err != nil {
		return
	}
	_, failed := f.Write(data)
	if err := f.Close(); err != nil || failed != nil || os.Rename(f.Name(), m.path) != nil {
		_ = os.Remove(f.Name())
	}
}

// load returns what was kept. All agents count as ready: nobody is there to say otherwise.
func (m *Memory) load() seen {
	if m == nil {
		return seen{}
	}
	info, err := os.Stat(m.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxMemory {
		return seen{}
	}
	data, err := os.ReadFile(m.path)
	if err != nil {
		return seen{}
	}
	var r remembered
	if json.Unmarshal(data, &r) != nil {
		return seen{}
	}
	for i := range r.Agents {
		r.Agents[i].ready = true
	}
	return seen{agents: r.Agents, nodes: r.Nodes, pods: len(r.Agents) > 0}
}

package mesh

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/maek-dev/maek/internal/agent/mesh/beacon"
)

// keptAs is the name in the Store.
const keptAs = "mesh"

// kept is what outlives the process: with it beacons go on though nobody can be greeted.
type kept struct {
	// Secret of which the keys are made that this agent gives to others.
	Secret []byte `json:"secret"`
	// Keys that others gave, by the UID of their nodes.
	Keys map[string]remembered `json:"keys,omitempty"`
}

// remembered is what is kept of one peer.
type remembered struct {
	Key  beacon.Key   `json:"key"`
	MTU  int          `json:"mtu,omitempty"`
	Pods []PodAddress `json:"pods,omitempty"`
}

const secretSize = 32

// load reads what was kept. What cannot be read is made anew: peers are told at the next greeting.
func (m *Mesh) load() error {
	m.keys = map[string]remembered{}
	if m.o.Store != nil {
		data, err := m.o.Store.Load(keptAs)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.o.Log.Warn("the keys of the mesh cannot be read; peers are greeted anew", "error", err)
		}
		var k kept
		if err := json.Unmarshal(data, &k); err == nil && len(k.Secret) == secretSize {
			m.secret = k.Secret
			maps.Copy(m.keys, k.Keys)
			return nil
		}
	}
	m.secret = make([]byte, secretSize)
	if _, err := rand.Read(m.secret); err != nil {
		return fmt.Errorf("making a secret: %w", err)
	}
	m.unsaved = true
	return nil
}

// save keeps what changed.
func (m *Mesh) save() error {
	if m.o.Store == nil {
		return nil
	}
	m.mu.Lock()
	changed := m.unsaved
	m.unsaved = false
	data, err := json.Marshal(kept{Secret: m.secret, Keys: m.keys}) //nolint:gosec // the Store is the agent's own folder, and this is to be kept there
	m.mu.Unlock()
	if !changed {
		return nil
	}
	if err == nil {
		err = m.o.Store.Save(keptAs, data)
	}
	if err != nil {
		m.mu.Lock()
		m.unsaved = true
		m.mu.Unlock()
		return fmt.Errorf("keeping the keys of the mesh: %w", err)
	}
	return nil
}

// saveLogged keeps what changed, and logs the first of several failures in a row.
func (m *Mesh) saveLogged() {
	err := m.save()
	if err != nil && m.unkept == nil {
		m.o.Log.Warn("beacons will not survive a restart of the agent", "error", err)
	}
	m.unkept = err
}

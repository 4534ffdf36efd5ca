package etcd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// roster is the list of members, kept so that a cluster none of whose members answers can still be
// named.
type roster struct {
	// Cluster ID; zero where it is not known.
	Cluster uint64 `json:"cluster"`
	// Members by ID.
	Members []member `json:"members"`

	saved []member
}

// storeName is under which the list is kept.
const storeName = "etcd-members"

func (w *watcher) load() error {
	data, err := w.host.Load(storeName)
	if err != nil || data == nil {
		return err
	}
	if err := json.Unmarshal(data, &w.known); err != nil {
		// It can be had anew, so that a file that was cut short is nobody's trouble.
		w.known = roster{}
	}
	w.known.saved = w.known.copied()
	return nil
}

func (w *watcher) save() error {
	if reflect.DeepEqual(w.known.saved, w.known.Members) {
		return nil
	}
	data, err := json.Marshal(w.known)
	if err != nil {
		return fmt.Errorf("keeping the list of etcd's members: %w", err)
	}
	if err := w.host.Save(storeName, data); err != nil {
		return fmt.Errorf("keeping the list of etcd's members: %w", err)
	}
	w.known.saved = w.known.copied()
	return nil
}

func (r *roster) copied() []member { return slices.Clone(r.Members) }

// renew takes a list in and remembers since when each is a learner.
func (r *roster) renew(cluster uint64, members []member, now time.Time) {
	for i := range members {
		if !members[i].Learner {
			continue
		}
		members[i].LearnerSince = now
		for _, old := range r.Members {
			if old.ID == members[i].ID && !old.LearnerSince.IsZero() {
				members[i].LearnerSince = old.LearnerSince
			}
		}
	}
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.ID, b.ID) })
	r.Cluster, r.Members = cluster, members
}

// guessed is the list with which a member was started: names and machines, no IDs.
func guessed(etcd *program) roster {
	var r roster
	for name, peers := range etcd.initialCluster() {
		m := member{Name: name, PeerURLs: peers}
		if name == etcd.flags["name"] {
			m.ClientURLs = append(reachable(etcd.flags.list("advertise-client-urls")), etcd.clientURL())
		} else if at := etcd.guess(peers[0]); at != "" {
			m.ClientURLs = []string{at}
		}
		r.Members = append(r.Members, m)
	}
	slices.SortFunc(r.Members, func(a, b member) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

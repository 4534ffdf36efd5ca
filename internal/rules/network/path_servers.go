package network

import (
	"slices"
	"time"

	"github.com/maek-dev/maek/internal/rule"
	"github.com/maek-dev/maek/internal/snapshot"
)

// serverKeys are what agents say about the servers that they ask.
func serverKeys(prefixes ...string) []snapshot.EvidenceKey {
	var out []snapshot.EvidenceKey
	for _, prefix := range prefixes {
		for _, name := range []string{"role", "node", "answer", "error"} {
			out = append(out, snapshot.EvidenceKey(prefix+"/*/"+name))
		}
	}
	return out
}

// asked is what became of a request from a machine to a server.
type asked struct {
	by      snapshot.Machine
	key     snapshot.EvidenceKey
	address string
	// service tells that the address is a Service's.
	service bool
	// node of the server; empty where it is not known.
	node   string
	answer string
	since  time.Time
}

// answers tells whether somebody answers there, if only that it fails.
func (a asked) answers() bool { return a.answer == answerOK || a.answer == answerFailing }

// readServers are the requests of all machines to the servers below a prefix, such as "dns".
func readServers(p *rule.Pass, prefix ...string) []asked {
	var out []asked
	for _, by := range p.Machines() {
		if age := p.Now().Sub(by.ObservedAt()); age > reportAge || age < -reportAge {
			continue
		}
		for _, address := range by.Names(snapshot.EvidenceKey(string(snapshot.KeyOf(prefix...)) + "/*/answer")) {
			at := append(slices.Clone(prefix), address)
			key := func(name string) snapshot.EvidenceKey { return snapshot.KeyOf(append(slices.Clone(at), name)...) }
			out = append(out, asked{
				by: by, key: key("answer"), address: address, service: by.Value(key("role")) == "service", node: by.Value(key("node")),
				answer: by.Value(key("answer")), since: by.Since(key("answer")),
			})
		}
	}
	return out
}

package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/maek-dev/maek/internal/snapshot"
)

// resolverKeys are what is read of how machines look up names.
var resolverKeys = []snapshot.EvidenceKey{"resolver/file/*/*", "resolver/server/*/outcome", "resolver/server/*/error"}

// resolverFile is a file that names servers, as one machine has it.
type resolverFile struct {
	m    snapshot.Machine
	name string
}

func resolverFiles(m snapshot.Machine) []resolverFile {
	var out []resolverFile
	for _, name := range m.Names("resolver/file/*/used-by") {
		out = append(out, resolverFile{m, name})
	}
	return out
}

func (f resolverFile) key(word string) snapshot.EvidenceKey {
	return snapshot.KeyOf("resolver", "file", f.name, word)
}

// usedBy tells whether "machine" or "pods" use the file.
func (f resolverFile) usedBy(who string) bool {
	return slices.Contains(strings.Fields(f.m.Value(f.key("used-by"))), who)
}

func (f resolverFile) servers() []string { return strings.Fields(f.m.Value(f.key("servers"))) }

func outcomeKey(server string) snapshot.EvidenceKey {
	return snapshot.KeyOf("resolver", "server", server, "outcome")
}

// silent are the servers of the file that give the machine no answer.
func (f resolverFile) silent() []string {
	return slices.DeleteFunc(f.servers(), func(server string) bool {
		outcome := f.m.Value(outcomeKey(server))
		return outcome == "" || outcome == "answered"
	})
}

// isLoopback tells whether an address is the machine itself, and for a pod therefore the pod.
func isLoopback(server string) bool {
	a, err := netip.ParseAddr(server)
	return err == nil && a.IsLoopback()
}

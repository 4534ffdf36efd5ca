package flannel

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// config is flannel's network configuration (flannel, pkg/subnet/config.go): the key "config" in etcd,
// net-conf.json in Kubernetes.
type config struct {
	Network     string
	IPv6Network string
	SubnetLen   uint
	SubnetMin   string
	SubnetMax   string
	Backend     struct {
		Type          string
		VNI           *int
		Port          *int
		MTU           *int
		DirectRouting bool
	}
}

// defaultBackend is flannel's where the configuration names none.
const defaultBackend = "udp"

func parseConfig(data []byte) (config, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return config{}, fmt.Errorf("parsing flannel's network configuration: %w", err)
	}
	if c.Backend.Type == "" {
		c.Backend.Type = defaultBackend
	}
	return c, nil
}

// evidence of a configuration; from says where it was read.
func (c config) evidence(from string) []snapshot.MachineEvidence {
	key := func(word string) snapshot.EvidenceKey { return snapshot.KeyOf("flannel", "config", word) }
	out := []snapshot.MachineEvidence{
		monitor.Value(key("source"), from),
		monitor.Value(key("backend"), c.Backend.Type),
		monitor.Bool(key("direct-routing"), c.Backend.DirectRouting),
	}
	for word, text := range map[string]string{"network": c.Network, "ipv6-network": c.IPv6Network, "subnet-min": c.SubnetMin, "subnet-max": c.SubnetMax} {
		if text != "" {
			out = append(out, monitor.Value(key(word), text))
		}
	}
	if c.SubnetLen != 0 {
		out = append(out, monitor.Value(key("subnet-length"), strconv.FormatUint(uint64(c.SubnetLen), 10)))
	}
	for word, n := range map[string]*int{"vni": c.Backend.VNI, "port": c.Backend.Port, "mtu": c.Backend.MTU} {
		if n != nil {
			out = append(out, monitor.Int(key(word), *n))
		}
	}
	return out
}

package flannel

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// lease is what one machine holds: a range of pod addresses, and where to send for them.
type lease struct {
	subnet     netip.Prefix
	ipv6Subnet netip.Prefix
	publicIP   string
	publicIPv6 string
	backend    string
	vni        *int
	mac        string
	// ttl is how long it lasts yet; nil where nobody looked.
	ttl *time.Duration
	// reserved tells that it never ends.
	reserved bool
	// id of the etcd lease that it ends with.
	id int64
	// broken is what is wrong with its value.
	broken string
}

// leaseKey is the last part of a lease's key: 10.5.1.0-24, or with IPv6 10.5.1.0-24&fd00::-64
// (flannel, pkg/subnet/subnet.go, ParseSubnetKey).
var leaseKey = regexp.MustCompile(`^(\d+\.\d+\.\d+\.\d+)-(\d+)(?:&([a-f\d:]+)-(\d+))?$`)

// parseLease reads a lease from the last part of its key, and its value. A value that cannot be read
// is told in the lease, for the subnet is taken all the same.
func parseLease(key string, value []byte) (lease, error) {
	m := leaseKey.FindStringSubmatch(key)
	if m == nil {
		return lease{}, fmt.Errorf("the key %q is not a flannel lease's", key)
	}
	var l lease
	var err error
	if l.subnet, err = netip.ParsePrefix(m[1] + "/" + m[2]); err != nil {
		return lease{}, fmt.Errorf("parsing the lease key %q: %w", key, err)
	}
	if m[3] != "" {
		if l.ipv6Subnet, err = netip.ParsePrefix(m[3] + "/" + m[4]); err != nil {
			return lease{}, fmt.Errorf("parsing the lease key %q: %w", key, err)
		}
	}
	var v struct {
		PublicIP    string
		PublicIPv6  *string
		BackendType string
		BackendData json.RawMessage
	}
	if err := json.Unmarshal(value, &v); err != nil {
		l.broken = err.Error()
		return l, nil //nolint:nilerr // The lease stands, and tells of it.
	}
	l.publicIP, l.backend = v.PublicIP, v.BackendType
	if v.PublicIPv6 != nil {
		l.publicIPv6 = *v.PublicIPv6
	}
	if len(v.BackendData) > 0 {
		// Backends other than vxlan keep data of other shapes here, and old ones a bare null.
		var data struct {
			VNI     *int
			VtepMAC string
		}
		if err := json.Unmarshal(v.BackendData, &data); err == nil {
			l.vni, l.mac = data.VNI, data.VtepMAC
		} else if l.backend == "vxlan" {
			l.broken = err.Error()
		}
	}
	return l, nil
}

// evidence of a lease.
func (l lease) evidence() []snapshot.MachineEvidence {
	key := func(word string) snapshot.EvidenceKey {
		return snapshot.KeyOf("flannel", "lease", l.subnet.String(), word)
	}
	out := []snapshot.MachineEvidence{
		monitor.Value(key("public-ip"), l.publicIP),
		monitor.Value(key("backend"), l.backend),
		monitor.Bool(key("reserved"), l.reserved),
	}
	if l.publicIPv6 != "" {
		out = append(out, monitor.Value(key("public-ipv6"), l.publicIPv6))
	}
	if l.ipv6Subnet.IsValid() {
		out = append(out, monitor.Value(key("ipv6-subnet"), l.ipv6Subnet.String()))
	}
	if l.vni != nil {
		out = append(out, monitor.Int(key("vni"), *l.vni))
	}
	if l.mac != "" {
		out = append(out, monitor.Value(key("mac"), l.mac))
	}
	if l.ttl != nil {
		out = append(out, monitor.Int(key("ttl"), int64(l.ttl.Seconds())))
	}
	if l.broken != "" {
		out = append(out, monitor.Value(key("broken"), l.broken))
	}
	return out
}

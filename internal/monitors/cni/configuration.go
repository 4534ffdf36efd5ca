package cni

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/maek-dev/maek/internal/monitor"
	"github.com/maek-dev/maek/internal/snapshot"
)

// plugin is one step of a configuration, as far as it is told
// (https://github.com/containernetworking/cni/blob/main/SPEC.md#section-1-network-configuration-format).
type plugin struct {
	Type   string          `json:"type"`
	Bridge string          `json:"bridge"`
	MTU    int             `json:"mtu"`
	IPAM   json.RawMessage `json:"ipam"`
	// Delegate is what flannel's plugin hands on.
	Delegate *struct {
		Bridge string `json:"bridge"`
		MTU    int    `json:"mtu"`
	} `json:"delegate"`
}

// ipam is who gives addresses, and which.
type ipam struct {
	Type   string `json:"type"`
	Subnet string `json:"subnet"`
	Ranges [][]struct {
		Subnet string `json:"subnet"`
	} `json:"ranges"`
}

// configuration is one file.
type configuration struct {
	file    string
	written time.Time
	name    string
	version string
	plugins []plugin
	ranges  []string
	givers  []string
	broken  string
}

func parse(file string, data []byte) configuration {
	c := configuration{file: file}
	var list struct {
		Name    string    `json:"name"`
		Version string    `json:"cniVersion"`
		Plugins *[]plugin `json:"plugins"`
		plugin
	}
	if err := json.Unmarshal(data, &list); err != nil {
		c.broken = err.Error()
		return c
	}
	c.name, c.version = list.Name, list.Version
	switch {
	case list.Plugins != nil:
		c.plugins = *list.Plugins
	case path.Ext(file) != ".conflist" && list.Type != "":
		c.plugins = []plugin{list.plugin}
	}
	switch {
	case len(c.plugins) == 0:
		c.broken = "it names no plugin"
	case slices.ContainsFunc(c.plugins, func(p plugin) bool { return p.Type == "" }):
		c.broken = "a plugin in it has no type"
	case c.name == "":
		c.broken = "it has no name"
	}
	for _, p := range c.plugins {
		// Other plugins' ipam has other shapes, and says nothing here.
		var i ipam
		if len(p.IPAM) == 0 || json.Unmarshal(p.IPAM, &i) != nil {
			continue
		}
		if i.Type != "" {
			c.givers = append(c.givers, i.Type)
		}
		if i.Subnet != "" {
			c.ranges = append(c.ranges, i.Subnet)
		}
		for _, set := range i.Ranges {
			for _, r := range set {
				c.ranges = append(c.ranges, r.Subnet)
			}
		}
	}
	return c
}

// programs are the plugins that the configuration calls.
func (c configuration) programs() []string {
	var out []string
	for _, p := range c.plugins {
		if p.Type != "" && !strings.Contains(p.Type, "/") {
			out = append(out, p.Type)
		}
	}
	out = append(out, c.givers...)
	slices.Sort(out)
	return slices.Compact(out)
}

func (c configuration) evidence() []snapshot.MachineEvidence {
	var out []snapshot.MachineEvidence
	add := func(e snapshot.MachineEvidence) { out = append(out, monitor.Since(e, c.written)) }
	key := func(word string) snapshot.EvidenceKey {
		return snapshot.KeyOf("cni", "configuration", c.file, word)
	}
	var types []string
	for _, p := range c.plugins {
		types = append(types, p.Type)
		bridge, mtu := p.Bridge, p.MTU
		if p.Delegate != nil {
			bridge, mtu = p.Delegate.Bridge, p.Delegate.MTU
		}
		if bridge != "" {
			add(monitor.Value(key("bridge"), bridge))
		}
		if mtu > 0 {
			add(monitor.Int(key("mtu"), mtu))
		}
	}
	add(monitor.Value(key("name"), c.name))
	add(monitor.Value(key("plugins"), strings.Join(types, " ")))
	if len(c.ranges) > 0 {
		add(monitor.Value(key("ranges"), strings.Join(c.ranges, " ")))
	}
	if c.broken != "" {
		add(monitor.Value(key("broken"), c.broken))
	}
	return out
}
